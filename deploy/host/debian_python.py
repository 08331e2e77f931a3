"""Debian 13's own Python 3.13, for tests on a machine that has none as new: unpacked into a folder, not installed.

Standard library only, and called by home_assistant.py. apt fetches it from the mirrors that this machine's apt has and
checks Debian's signature, with lists and a state of its own: the machine's packages stay as they are, and it needs no
root. Its libraries are newer than the machine's, so it is started by its own loader (ld.so(8)) and looks there first.
"""

import pathlib
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable

SUITE, PACKAGE, NAME = "trixie", "python3.13-venv", "python3.13"
KEYS = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # apt itself needs its package
LISTS_TIMEOUT_S = 300  # how long one mirror may take to give the lists of its packages
WHEELS = "/usr/share/python-wheels/"  # where Debian's ensurepip looks for pip

Run = Callable[..., None]  # bootstrap.run: a command, and doing="what", for the sentence when it fails
Say = Callable[[str], None]


def unpack(folder: pathlib.Path, *, run: Run, say: Say) -> pathlib.Path | None:
    """The interpreter, below `folder`, which is new; None where no mirror of this machine has it.

    Raises: what `run` raises.
    """
    if not shutil.which("apt-get") or not KEYS.exists():
        return None
    say("unpacking Debian 13's Python 3.13 for it, as none that it runs on is here (10 to 20 seconds)")
    with tempfile.TemporaryDirectory(dir=folder.parent) as area:
        apt = _apt(pathlib.Path(area))
        if not any(_has_lists(mirror, apt, pathlib.Path(area)) for mirror in mirrors()):
            return None
        run(*apt, "install", "--download-only", "--no-install-recommends", PACKAGE, doing=f"downloading {PACKAGE}")
        for package in sorted(pathlib.Path(area).glob("cache/archives/*.deb")):
            run("dpkg-deb", "-x", package, folder, doing=f"unpacking {package.name}")
    return make_startable(folder)


def mirrors() -> list[str]:
    """Those of this machine's apt, of whatever they are, in its order; also before it has any list."""
    question = ("apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)")
    said = subprocess.run(question, capture_output=True, text=True, check=False).stdout.splitlines()
    return [each for each in dict.fromkeys(said) if each and not each.startswith("cdrom:")]


def _apt(area: pathlib.Path) -> list[str]:
    """apt-get as it is set up here (a proxy, say), but for a machine in `area` on which nothing is installed yet."""
    for each in ("lists/partial", "cache/archives/partial"):
        (area / each).mkdir(parents=True)
    (area / "status").touch()
    settings = {
        "Dir::Etc::SourceList": area / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": area,
        "Dir::State::status": area / "status",
        "Dir::Cache": area / "cache",
        "APT::Default-Release": "",
        "APT::Sandbox::User": "root",  # its other user cannot write into our folder
        "Acquire::Languages": "none",
    }
    return ["apt-get", "-q", "-y", *(word for name, each in settings.items() for word in ("-o", f"{name}={each}"))]


def _has_lists(mirror: str, apt: list[str], area: pathlib.Path) -> bool:
    """Whether it has this suite, signed by Debian: mirrors of other things and of security updates alone have not."""
    (area / "sources.list").write_text(f"deb [signed-by={KEYS}] {mirror} {SUITE} main\n")
    command = [*apt, "-o", "APT::Update::Error-Mode=any", "update"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=LISTS_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def make_startable(folder: pathlib.Path) -> pathlib.Path:
    """Put a script into the interpreter's place: environments link to it, and find the rest from there."""
    python = folder / "usr" / "bin" / NAME
    [loader] = folder.glob("usr/lib/*-linux-*/ld-linux*.so.*")
    itself = python.rename(python.with_name(f"{NAME}-itself"))
    words = shlex.join(["--library-path", str(loader.parent), str(itself)])
    # With --argv0 Python takes the script, or the link to it that was called, for itself: see venv, "How venvs work".
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(str(loader))} --argv0 "$0" {words} "$@"\n')
    python.chmod(0o755)
    for each in folder.glob(f"usr/lib/{NAME}/_sysconfigdata_*.py"):
        each.write_text(each.read_text("utf-8").replace(f"'{WHEELS}'", repr(f"{folder}{WHEELS}")), "utf-8")
    return python
