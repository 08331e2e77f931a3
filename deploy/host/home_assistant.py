"""Home Assistant itself, for tests: an environment of its own with its core and the parts that MQTT needs.

Standard library only, and called by bootstrap.py. Pinned by hash in tests/outside, installed into
`.kiln/outside/home-assistant`. Kiln's own Python may be too old for it: devices are discovered as Kiln shows them from
2024.11 on, which needs Python 3.12, and the release that we pin has what it needs compiled up to Python 3.13. Where the
machine has neither, debian_python.py brings one.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator

import debian_python

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCKS = ROOT / "tests" / "outside"
FOLDER = ROOT / ".kiln" / "outside" / "home-assistant"
STAMP = FOLDER / "stamp"
UNPACKED, INSTALLED = "home-assistant.lock", "home-assistant-needs.lock"
PYTHONS = ("3.12", "3.13")
ANSWERS_S = 10  # how long an interpreter may take to say what it is
# Of its thousand integrations those that its core, MQTT and MQTT's set-up page import: 20 MB of 230, in 1 s of 20.
# fmt: off
COMPONENTS = (
    "auth", "backup", "binary_sensor", "device_automation", "device_tracker", "file_upload", "frontend", "hassio",
    "homeassistant", "http", "light", "lock", "mqtt", "network", "onboarding", "panel_custom",
    "persistent_notification", "person", "scene", "sensor", "sun", "system_health", "tag", "update",
    "websocket_api", "zone",
)
# fmt: on

Run = Callable[..., None]  # bootstrap.run: a command, and doing="what", for the sentence when it fails
Say = Callable[[str], None]


class PythonMissingError(Exception):
    """No interpreter of this machine can run it, and Debian 13's cannot be had; the message says what to do."""


def pins() -> list[pathlib.Path]:
    """The files that decide what is fetched."""
    return [LOCKS / UNPACKED, LOCKS / INSTALLED, pathlib.Path(__file__), pathlib.Path(debian_python.__file__)]


def is_there() -> bool:
    """Its interpreter answers, too: one of the machine may have gone since."""
    return STAMP.exists() and STAMP.read_text() == _wanted() and _said(FOLDER / "bin" / "python", "") is not None


def _wanted() -> str:
    digest = hashlib.sha256()
    for path in pins():
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def install(*, run: Run, say: Say) -> None:
    """Raises: what `run` raises, PythonMissingError; nothing is skipped."""
    if is_there():
        return
    say("installing Home Assistant for tests, in an environment of its own")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    run(_python(run, say), "-m", "venv", FOLDER, doing="making Home Assistant's environment")
    python = FOLDER / "bin" / "python"
    place = next((FOLDER / "lib").glob("python3.*/site-packages"))
    with tempfile.TemporaryDirectory(dir=FOLDER) as area:
        run(
            *(python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
            *("--dest", area, "-r", LOCKS / UNPACKED),
            doing="downloading Home Assistant",
        )
        for wheel in pathlib.Path(area).glob("*.whl"):
            _unpack(wheel, place)
    # What was unpacked has setuptools, for the one package that is published as a source archive only.
    run(
        *(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--require-hashes"),
        *("-r", LOCKS / INSTALLED),
        doing="installing what Home Assistant needs",
    )
    STAMP.write_text(_wanted())


def _python(run: Run, say: Say) -> str | pathlib.Path:
    """Raises: what `run` raises, PythonMissingError."""
    if found := interpreter() or debian_python.unpack(FOLDER / "debian", run=run, say=say):
        return found
    wanted = " or ".join(PYTHONS)
    raise PythonMissingError(
        f"tests run Home Assistant, which needs Python {wanted} with venv beside Kiln's own. None is here, and no"
        f" mirror in the settings of apt gives Debian 13's: install python{PYTHONS[0]} where your system has it, or"
        f" `pyenv install {PYTHONS[0]}`, and run this again"
    )


def interpreter() -> str | None:
    """Of this machine, one that Home Assistant runs on."""
    code = "import ctypes, ensurepip, ssl, sys; print('%d.%d' % sys.version_info[:2])"  # what pyenv may leave out, too
    return next((each for each in _candidates() if _said(each, code) in PYTHONS), None)


def _candidates() -> Iterator[str]:
    yield sys.executable
    for version in PYTHONS:
        if found := shutil.which(f"python{version}"):
            yield found
    yield "/usr/bin/python3"
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    for version in PYTHONS:  # those that pyenv has but does not put into the path
        yield from map(str, sorted((pyenv / "versions").glob(f"{version}.*/bin/python")))


def _said(python: str | pathlib.Path, code: str) -> str | None:
    """What `code` prints; None where it does not run."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=ANSWERS_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _unpack(wheel: pathlib.Path, place: pathlib.Path) -> None:
    """A wheel is a zip archive of what lies in site-packages."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            parts = pathlib.PurePosixPath(name).parts
            is_other = parts[:2] == ("homeassistant", "components") and len(parts) > 3 and parts[2] not in COMPONENTS
            if not is_other:
                archive.extract(name, place)  # which leaves no folder above it
