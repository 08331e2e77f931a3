#!/usr/bin/env python3
"""Make a bare Debian or Ubuntu ready: container engine, virtual environment, build images.

Standard library only: it runs before anything is installed. What is there already is left alone, so it
may be run as often as you like; when nothing changed it looks at a stamp, the engine and the images, and
is done in a fraction of a second.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import engine
import firewall
import gvisor
import home_assistant
import outside

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STATE = ROOT / ".kiln"
VENV = ROOT / ".venv"
BASE = "kiln/base:bookworm"
# Images that are made of the distribution's packages alone, and those for which pip fetches something.
PLAIN_IMAGES, PIP_IMAGES = ("source",), ("micropython",)
PLAIN_IMAGES_OF_TESTS, PIP_IMAGES_OF_TESTS = ("arduino-avr",), ("platformio",)
BOARDS = ROOT / "runners" / "contract" / "boards.toml"  # an image has the Arduino boards of it
OLDEST_PYTHON = (3, 11)
COMMAND_TIMEOUT_S = 900
PID_FILES = (
    (pathlib.Path("/var/run/docker.pid"), "dockerd"),
    (pathlib.Path("/var/run/docker/containerd/containerd.pid"), "containerd"),
)
ENGINE_STARTS_S = 60  # how long a container engine may take to answer
WHY = {
    "docker.io": "Docker Engine, which runs the builds",
    "debootstrap": "debootstrap, which makes a base image where no registry answers",
    "python3-venv": "python3-venv, for the virtual environment",
    "mosquitto": "Mosquitto, the MQTT broker that tests compare with",
    "simavr": "simavr, which runs what was built for Arduino",
    "nodejs": "Node.js, which runs what GitHub and others publish for tests",
    "npm": "npm, which fetches it",
    "runsc": "gVisor, the other runtime that tests run containers with",
}


class SetupError(Exception):
    """The machine cannot be made ready; the message says what to do."""


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def run(*command: str | pathlib.Path, doing: str) -> None:
    """Raises: SetupError with the end of what the command printed."""
    words = [str(word) for word in command]
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
            env=settings,
            cwd=ROOT,
        )
    except FileNotFoundError as error:
        raise SetupError(f"{doing} failed: {words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{doing} did not end within {COMMAND_TIMEOUT_S} s") from error
    if done.returncode:
        raise SetupError(f"{doing} failed:\n{done.stdout[-3000:]}")


def plain_images(*, test: bool) -> tuple[str, ...]:
    return PLAIN_IMAGES + (PLAIN_IMAGES_OF_TESTS if test else ())


def pip_images(*, test: bool) -> tuple[str, ...]:
    return PIP_IMAGES + (PIP_IMAGES_OF_TESTS if test else ())


def images_are_there(*, test: bool) -> bool:
    names = (*plain_images(test=test), *pip_images(test=test))
    return all(engine.says(f"/images/kiln/{each}:current/json") == 200 for each in names)


def base_is_there() -> bool:
    return engine.says(f"/images/{BASE}/json") == 200


def missing_packages(*, test: bool) -> list[str]:
    needed = []
    if not engine.answers() and not shutil.which("dockerd"):
        needed.append("docker.io")
    if not base_is_there() and not shutil.which("debootstrap"):
        needed.append("debootstrap")
    if not (VENV / "bin" / "python").exists() and not importlib.util.find_spec("ensurepip"):
        needed.append("python3-venv")
    if test and not shutil.which("mosquitto") and not pathlib.Path("/usr/sbin/mosquitto").exists():
        needed.append("mosquitto")
    if test:
        commands = (("node", "nodejs"), ("npm", "npm"), ("simavr", "simavr"))
        needed += [package for command, package in commands if not shutil.which(command)]
    if test and not shutil.which("runsc") and gvisor.is_wanted():
        needed.append(gvisor.PACKAGE)
    return needed


def install(packages: list[str]) -> None:
    if not packages:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetupError(f"install {' '.join(packages)}, then run this again (doing it for you needs root and apt)")
    for each in packages:
        say(f"installing {WHY[each]}")
    run("apt-get", "update", "-q", doing="apt-get update")
    run("apt-get", "install", "-q", "-y", "--no-install-recommends", *packages, doing="apt-get install")


def start_engine() -> None:
    if engine.answers():
        return
    if os.geteuid() != 0:
        raise SetupError("no container engine answers: start Docker, or add yourself to the group docker")
    if pathlib.Path("/run/systemd/system").is_dir():
        say("starting Docker Engine by systemd")
        run("systemctl", "start", "docker", doing="starting Docker Engine")
    else:
        forget_dead_engine()
        log = STATE / "dockerd.log"
        say(f"starting Docker Engine, as no service manager runs here (log: {log.relative_to(ROOT)})")
        with log.open("ab") as output:  # its own session and no stream of ours: it outlives whoever called us
            subprocess.Popen(
                ["dockerd"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
    deadline = time.monotonic() + ENGINE_STARTS_S
    while not engine.answers():
        if time.monotonic() > deadline:
            raise SetupError(f"Docker Engine does not answer after {ENGINE_STARTS_S} s: see its log")
        time.sleep(0.1)


def forget_dead_engine() -> None:
    """Remove what a killed engine left: it would take any process of the old number for itself, and not start."""
    for path, name in PID_FILES:
        try:
            pid = int(path.read_text())
            status = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            status = ""
        # "<pid> (<name>) <state> ...", proc(5); a zombie is as dead as none
        if f"({name}) " not in status or f"({name}) Z" in status:
            path.unlink(missing_ok=True)


def make_environment(lock: pathlib.Path) -> None:
    if not (VENV / "bin" / "python").exists():
        say("making the virtual environment .venv")
        run(sys.executable, "-m", "venv", VENV, doing="making .venv")
    say(f"installing Python packages from {lock.name}")
    pip = (VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile")
    # The lock is complete. Resolving again, pip would take an extra (`coverage[toml]`) for a requirement of its own and
    # stop as soon as its package has a newer release than the locked one.
    run(*pip, "--require-hashes", "--no-deps", "-r", lock, doing="installing packages")
    run(*pip, "--no-build-isolation", "--no-deps", "-e", ROOT, doing="installing Kiln")


def make_ready(lock: pathlib.Path, *, test: bool) -> None:
    """Packages, engine and the images that need no compiler on one side, the virtual environment on the other.

    The build image of a family with compilers comes last: pip, which fetches them, is in the environment.
    """
    packages = missing_packages(test=test)
    has_venv = threading.Event()
    if "python3-venv" not in packages:
        has_venv.set()

    def machine() -> None:
        try:
            install(packages)
        finally:
            has_venv.set()
        start_engine()
        if test:
            gvisor.register(say)
        if not base_is_there():
            say("getting a base image for builds (half a minute where no registry answers)")
            run(ROOT / "build-images" / "base" / "make", BASE, doing="making the base image")
        build = ROOT / "build-images" / "build.py"
        run(sys.executable, build, *plain_images(test=test), doing="making images of Debian's packages")

    def environment() -> None:
        has_venv.wait()
        make_environment(lock)

    with ThreadPoolExecutor() as pool:
        for task in [pool.submit(machine), pool.submit(environment)]:
            task.result()
    if test:
        with ThreadPoolExecutor() as pool:
            tasks = [pool.submit(outside.install, VENV / "bin" / "python", run=run, say=say)]
            for each in [*tasks, pool.submit(home_assistant.install, run=run, say=say)]:
                each.result()
    if not images_are_there(test=test):
        say("making the build images")
    command = (sys.executable, ROOT / "build-images" / "build.py", "--python", VENV / "bin" / "python")
    run(*command, *pip_images(test=test), doing="making the build images")


def inputs(lock: pathlib.Path, *, test: bool) -> str:
    """A digest of everything that decides what there is to do."""
    digest = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    found = (ROOT / "build-images").rglob("*")
    images = (each for each in found if each.is_file() and "__pycache__" not in each.parts)
    data = [*outside.pins(), *home_assistant.pins(), BOARDS] if test else []
    for path in sorted([lock, ROOT / "pyproject.toml", *HERE.glob("*.py"), *images, *data]):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description="Make this machine ready for Kiln.")
    parser.add_argument("--test", action="store_true", help="also what `make test` needs")
    try:
        set_up(test=parser.parse_args().test)
    except (SetupError, gvisor.RuntimeMissingError, home_assistant.PythonMissingError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def set_up(*, test: bool) -> None:
    """Raises: SetupError."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError("Kiln needs Python 3.11 or newer")
    STATE.mkdir(exist_ok=True)
    lock = ROOT / ("requirements-dev.lock" if test else "requirements.lock")
    stamp = STATE / ("setup-test" if test else "setup")
    wanted = inputs(lock, test=test)
    firewall.hold(say)
    if is_done(stamp, wanted, test=test) and images_are_there(test=test):
        return
    with (STATE / "setup.lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # two calls at once: the second finds everything done
        began = time.monotonic()
        if is_done(stamp, wanted, test=test):
            start_engine()  # a restart of the machine takes nothing else away
        if not is_done(stamp, wanted, test=test) or not images_are_there(test=test):
            make_ready(lock, test=test)
            firewall.hold(say)  # iptables may have come with Docker Engine just now
            stamp.write_text(wanted)
            say(f"ready after {time.monotonic() - began:.0f} s")


def is_done(stamp: pathlib.Path, wanted: str, *, test: bool) -> bool:
    has_tools = (VENV / "bin" / "python").exists() and (not test or (outside.is_there() and home_assistant.is_there()))
    return has_tools and stamp.exists() and stamp.read_text() == wanted


if __name__ == "__main__":
    sys.exit(main())
