"""The pins of the outside test data, and that it is where tests look for it."""

import json
import pathlib
import re

from tests.outside.data import OUTSIDE, gitlab_hook, octokit, ogr_sessions, webhook_examples

PINS = pathlib.Path(__file__).parents[1] / "outside"


def test_every_npm_package_is_pinned_by_hash_and_by_no_address() -> None:
    text = (PINS / "package-lock.json").read_text("utf-8")
    packages = {name: each for name, each in json.loads(text)["packages"].items() if name}

    assert len(packages) > 100
    assert all(each["integrity"].startswith("sha512-") for each in packages.values())
    assert "://" not in text


def test_the_source_archive_is_pinned_by_hash() -> None:
    assert re.search(
        r"^ogr==\S+ \\\n +--hash=sha256:[0-9a-f]{64}$", (PINS / "ogr.lock").read_text("utf-8"), re.MULTILINE
    )


def test_all_of_it_is_there() -> None:
    packages = ("fixtures", "fixtures-server", "openapi-webhooks", "webhooks-methods", "webhooks-schemas")
    assert all((octokit(name) / "package.json").is_file() for name in packages)
    assert len(webhook_examples()) == 329
    assert len(ogr_sessions("github")) > 100
    assert len(ogr_sessions("gitlab")) > 100
    assert json.loads(gitlab_hook("push"))["object_kind"] == "push"


def test_home_assistant_and_all_that_it_needs_are_pinned_by_hash_and_by_no_address() -> None:
    for name in ("home-assistant", "home-assistant-needs"):
        text = (PINS / f"{name}.lock").read_text("utf-8")
        packages = re.findall(
            r"^[A-Za-z0-9_.-]+==\S+ \\\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", text, re.MULTILINE
        )

        assert "".join(packages) == text
        assert "://" not in text


def test_home_assistant_is_there_and_newer_than_devices_as_kiln_shows_them() -> None:
    [found] = (OUTSIDE / "home-assistant" / "lib").glob("python3.*/site-packages/homeassistant-*.dist-info")

    assert tuple(int(each) for each in found.name.split("-")[1].split(".")[:2]) >= (2024, 11)
