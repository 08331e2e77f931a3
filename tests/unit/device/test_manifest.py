"""device/manifest.py names what it freezes; MicroPython's own build of firmware is not run here."""

import pathlib
from typing import Any

DEVICE = pathlib.Path(__file__).parents[3] / "device"


def test_the_manifest_freezes_the_agent_and_its_loader_under_their_names() -> None:
    frozen: dict[str, pathlib.Path] = {}

    def package(path: str, base_path: str = ".", opt: int = 0) -> None:
        for each in (DEVICE / base_path / path).rglob("*.py"):
            frozen[str(each.relative_to(DEVICE / base_path))] = each

    def module(path: str, base_path: str = ".", opt: int = 0) -> None:
        frozen[path] = DEVICE / base_path / path

    words: dict[str, Any] = {"package": package, "module": module}
    exec(compile((DEVICE / "manifest.py").read_text(), "manifest.py", "exec"), words)

    own = {f"ota/{each.name}" for each in (DEVICE / "ota").glob("*.py")}
    assert set(frozen) == {*own, "ota_loader.py"}
    assert all(each.is_file() for each in frozen.values())
