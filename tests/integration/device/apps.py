"""Firmware for the tests' boards."""

from typing import Any

from tests.fakes.releases import FakeRelease, make_release

LOOP = "while True:\n    ota.sleep_ms(20)\n"


def files_of(version: str, body: str = LOOP) -> dict[str, bytes]:
    return {
        "lib/deep/data.txt": version.encode() * 600,
        "main.py": f"import ota\nimport part\nprint('app', part.VERSION)\n{body}".encode(),
        "part.py": f"VERSION = '{version}'\n".encode(),
    }


def app(version: str, body: str = LOOP, **changes: Any) -> FakeRelease:
    """An application whose release counter is its major version."""
    counter = int(version.split(".", maxsplit=1)[0])
    claims = {"version": version, "counter": counter, **changes}
    return make_release(files_of(version, body), claims=claims)
