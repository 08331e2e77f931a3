"""Row 14: there is no word in kiln.toml, and no field behind it, by which a repository could ask for more."""

import dataclasses

import pytest

from runners.contract.board import Catalogue
from runners.contract.job import Job, Limits, Options
from runners.contract.manifest import Manifest, ManifestError
from runners.docker_runtime import ENGINES_OWN, Runtime
from runners.docker_spec import hardening
from runners.engine import ContainerSpec

WISHES = [
    "privileged",
    "mounts",
    "volumes",
    "binds",
    "devices",
    "user",
    "uid",
    "runtime",
    "network",
    "env",
    "environment",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "DOCKER_HOST",
    "GIT_SSH_COMMAND",
    "GIT_DIR",
    "PATH",
    "cap_add",
    "security_opt",
    "entrypoint",
    "limits",
    "memory_bytes",
    "time_s",
]
VALUES = ["true", '"root"', '["/:/host"]', "1", '{ LD_PRELOAD = "/evil.so" }']
# Every table in which each key has a meaning. In [settings] and [channels] keys are names: see below.
TABLES = ["", "[firmware]\n", "[build]\n", "[wiring]\n", "[boards.esp32-generic]\n", "[settings.PERIOD]\n"]
CATALOGUE = Catalogue.load()


def parse(text: str) -> Manifest:
    return Manifest.parse(text, default_name="blink", catalogue=CATALOGUE)


@pytest.mark.parametrize("table", TABLES, ids=[each.strip("[]\n") or "top" for each in TABLES])
@pytest.mark.parametrize("wish", WISHES)
def test_row_14_a_wish_is_refused_by_name_and_line(table: str, wish: str) -> None:
    for value in VALUES:
        with pytest.raises(ManifestError) as caught:
            parse(f"{table}{wish} = {value}\n")
        assert f"line {2 if table else 1}: " in str(caught.value)
        assert f'unknown key "{wish}"' in str(caught.value)


@pytest.mark.parametrize("wish", WISHES)
def test_row_14_a_table_of_wishes_is_refused(wish: str) -> None:
    for table in (f"[{wish}]", f"[[{wish}]]", f"[firmware.{wish}]", f"[build.{wish}]", f"[{wish}.{wish}]"):
        with pytest.raises(ManifestError, match="unknown key"):
            parse(f'{table}\nvalue = "x"\n')


@pytest.mark.parametrize("table", [each for each in TABLES if each != "[build]\n"])
def test_row_14_an_image_is_named_in_one_place_where_the_operator_decides(table: str) -> None:
    """[build] image, for the family whose images KILN_OWN_IMAGES names (test_own_image)."""
    with pytest.raises(ManifestError, match='unknown key "image"'):
        parse(f'{table}image = "evil"\n')


@pytest.mark.parametrize("wish", ["LD_PRELOAD", "DOCKER_HOST", "GIT_SSH_COMMAND", "PATH"])
def test_row_14_a_setting_of_that_name_is_the_devices_and_only_its_name_reaches_a_job(
    wish: str,
) -> None:
    """By the name a build warns of what belongs into a setting (runners/lint); no container is given it."""
    manifest = parse(f'[settings.{wish}]\ndefault = "evil"\n[channels]\n{wish} = "evil"\n')

    told = manifest.options_for("esp32-generic")

    assert [each.name for each in manifest.settings] == [wish]
    assert wish not in repr(dataclasses.replace(told, settings=()))
    assert "evil" not in repr(told)


def test_row_14_no_field_of_a_job_or_a_container_is_such_a_wish() -> None:
    for kind in (Options, ContainerSpec):
        names = {each.name for each in dataclasses.fields(kind)}
        assert names & {each.lower() for each in WISHES} <= ({"limits"} if kind is ContainerSpec else set())
    assert {each.name for each in dataclasses.fields(ContainerSpec)} == {
        "job",
        "runner",
        "image",
        "limits",
        "has_network",
        "has_localhost",
    }
    assert "env" not in {each.name for each in dataclasses.fields(Job)}


@pytest.mark.parametrize("runtime", [ENGINES_OWN, Runtime(name="runsc")])
def test_row_14_what_every_container_gets_is_one_list(runtime: Runtime) -> None:
    given = hardening(Limits(), runtime, network="none")

    assert (given["cap_drop"], given["read_only"], given["network_mode"]) == (["ALL"], True, "none")
    assert given["security_opt"] == ["no-new-privileges"]
    assert set(given) - {"runtime"} == {
        "network_mode",
        "read_only",
        "cap_drop",
        "security_opt",
        "init",
        "ipc_mode",
        "pids_limit",
        "mem_limit",
        "memswap_limit",
        "nano_cpus",
        "tmpfs",
        "log_config",
    }
    assert set(given["tmpfs"]) == {"/work", "/tmp"}
