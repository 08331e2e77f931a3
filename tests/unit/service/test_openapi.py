"""The description of the API says what the routes are."""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import Route

from service.web.openapi import PATH, document
from tests.fakes.site import ADMIN_TOKEN, Site

DESCRIBED = re.compile(r"/api/v1/|/ota/v1/|/healthz")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(pathlib.Path(tmp_path_factory.mktemp("site")))
    yield made
    made.close()


def served(site: Site) -> set[tuple[str, str]]:
    """(method, path) of every route that the description is to have."""
    found = set()
    for each in site.app.routes:
        if isinstance(each, Route) and DESCRIBED.match(each.path):
            path = re.sub(r":\w+}", "}", each.path)
            found |= {(method, path) for method in (each.methods or set()) - {"HEAD"}}
    return found


def described() -> set[tuple[str, str]]:
    paths = document("1")["paths"]
    return {(method.upper(), path) for path, each in paths.items() for method in each if method != "parameters"}


def test_every_route_is_described_and_every_description_is_a_route(site: Site) -> None:
    assert described() == served(site)


def test_it_is_served_to_everybody_as_it_is(site: Site) -> None:
    reply = site.program("").send("GET", PATH)

    assert reply.status == 200
    assert reply.fields["info"]["title"] == "Kiln"
    assert set(reply.fields["paths"]) == set(document("1")["paths"])


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_no_reference_leads_nowhere_and_no_schema_is_idle() -> None:
    whole = document("1")
    named = {f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in whole["components"][kind]}

    assert set(references(whole)) == named


def test_every_operation_names_its_right_or_says_why_it_has_none() -> None:
    free = {"/healthz", PATH, "/ota/v1/roots/{version}", "/api/v1/claim"}
    for path, each in document("1")["paths"].items():
        for method, operation in each.items():
            if method != "parameters":
                assert bool(operation["security"]) is (path not in free), (method, path)


def test_the_administrator_reads_with_it(site: Site) -> None:
    assert site.program(ADMIN_TOKEN).send("GET", "/api/v1/devices").status == 200
