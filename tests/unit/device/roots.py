"""Devices that trust some keys, and root documents that they refuse."""

from pathlib import Path
from typing import Any

import pytest

from ota import root
from ota.reason import RefusedError
from tests.fakes.signing import canonical, root_payload


def give(folder: Path, payload: dict[str, Any] | None = None) -> str:
    """A device that trusts `payload`; its root folder."""
    (folder / "kiln").mkdir(exist_ok=True)
    (folder / "kiln/trust.json").write_bytes(canonical(payload or root_payload()))
    return str(folder)


def refused(at: str, raw: bytes) -> str:
    before = Path(at, "kiln/trust.json").read_bytes()
    with pytest.raises(RefusedError) as caught:
        root.take(at, raw)
    assert Path(at, "kiln/trust.json").read_bytes() == before
    assert [each.name for each in Path(at, "kiln").iterdir()] == ["trust.json"]
    reason: str = caught.value.reason
    return reason
