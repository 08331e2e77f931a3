"""Lay SCons out as PlatformIO's own package of it, which it would otherwise fetch: `tool-scons.py FOLDER`."""

import json
import sys
from pathlib import Path

import SCons
from platformio.dependencies import get_core_dependencies
from platformio.package.manager.core import get_core_package_dir

NAME = "tool-scons"
START = "from SCons.Script import main\n\nmain()\n"


def version() -> str:
    """4.11.1 is 4.41101.0: PlatformIO puts the major version first and two digits for each of the others."""
    major, minor, patch = SCons.__version__.split(".")[:3]
    return f"4.{major}{int(minor):02}{int(patch):02}.0"


def main(folder: Path) -> None:
    wanted = get_core_dependencies()[NAME]
    if wanted.removeprefix("~") != version():
        sys.exit(f"PlatformIO wants {NAME} {wanted}, the wheel is {version()}: pin another scons in wheels.txt")
    package = {"name": NAME, "version": version()}
    spec = {"owner": "platformio", "id": 0, "name": NAME, "requirements": None, "uri": None}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({**package, "description": "SCons"}))
    (folder / ".piopm").write_text(json.dumps({"type": "tool", **package, "spec": spec}))
    (folder / "scons.py").write_text(START)
    if get_core_package_dir(NAME, auto_install=False) != str(folder):
        sys.exit(f"PlatformIO does not find its {NAME} in {folder}")


main(Path(sys.argv[1]))
