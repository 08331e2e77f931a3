"""A flash file with the compiled agent, for installs in a real MicroPython without a network."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.virtual import flash
from tests.fakes.releases import FakeRelease, desired_for
from tests.fakes.signing import trust

DEVICE: dict[str, Any] = {
    "id": "d1",
    "token": "t",
    "board": "unix",
    "repo": "local/blink",
    "base": "http://127.0.0.1:9",
    "mqtt": {"host": "127.0.0.1", "port": 9},
}


@dataclass(frozen=True)
class Done:
    """What came of one install."""

    outcome: str  # "taken", "refused <reason>" or "failed <exception>"
    ms: int
    operations: int  # of the flash
    free_bytes: int  # afterwards


class PackFlash:
    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        flash.make(path, device=DEVICE, trust=trust(), **options)

    def lay(self, name: str, content: bytes, release: FakeRelease | None = None) -> None:
        """Put a file into /in; with a release also the order for it, as `name`.json."""
        with tempfile.TemporaryDirectory() as folder:
            inner = Path(folder) / "in"
            inner.mkdir()
            (inner / name).write_bytes(content)
            if release is not None:
                (inner / f"{name}.json").write_text(json.dumps(desired_for(release, seq=1)))
            flash.put(self.path, Path(folder))

    def install(self, name: str, *, kind: str = "pack", run: bool = False, heapsize: str = "512k") -> Done:
        """Raises: RuntimeError when MicroPython itself fails, for example for want of heap."""
        command = [flash.tool("micropython"), "-X", f"heapsize={heapsize}", str(flash.BOARD / "unpack.py")]
        words = [str(self.path.resolve()), kind, name, *(["run"] if run else [])]
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, cwd="/")
        lines = done.stdout.splitlines()
        if done.returncode or len(lines) < 2:
            raise RuntimeError(done.stdout + done.stderr)
        _, ms, _, operations, _, free = lines[-1].split()
        return Done(lines[-2], int(ms), int(operations), int(free))

    def tree(self, inside: str) -> dict[str, bytes]:
        lines = (line.split(maxsplit=1) for line in flash.ls(self.path, inside).splitlines())
        names = [parts[1] for parts in lines if len(parts) > 1 and not parts[1].endswith("/")]
        return {name: flash.cat(self.path, f"{inside}/{name}") for name in names}
