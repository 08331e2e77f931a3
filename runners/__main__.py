"""`python -m runners serve | build PATH | lock PATH`: the composition root of the runners."""

import argparse
import datetime
import json
import logging
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from runners import locking
from runners.cli import command
from runners.cli.answer import BUILT, TROUBLE
from runners.contract.board import Catalogue, UnknownBoardError
from runners.contract.download import complaint_of_hosts, split_hosts
from runners.contract.job import Limits
from runners.contract.manifest import Manifest, ManifestError
from runners.direct import Cache, Direct
from runners.docker_engine import DockerEngine
from runners.download import Downloader
from runners.errors import RefusedError, RunnerError
from runners.fetch import Fetcher
from runners.flash.fetch import FETCHED, THERE, fetch
from runners.flash.firmware import FirmwareFolder
from runners.flash.image import MAX_FIRMWARE_BYTES
from runners.mip import INDEX
from runners.run import Runner
from runners.transport import HttpService
from runners.verdict import sentence

PARENT_LOOK_S = 0.2
FIRMWARE_S = 300.0  # of one file of base firmware
# A thread that waits for bytes of a container gets its turn this soon after one that computes; Python's own 5 ms add up
# at every piece of a log.
SWITCH_S = 0.0005
RESERVED = frozenset(vars(logging.makeLogRecord({})))


class JsonLines(logging.Formatter):
    """One JSON object a line: a constant sentence, and the record's `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        extra = {key: value for key, value in vars(record).items() if key not in RESERVED}
        line = {"at": self.formatTime(record), "level": record.levelname.lower(), "event": record.getMessage()} | extra
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m runners", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="take jobs from the durable queue (settings: runners/README.md)")
    build = command.add_command(commands)
    firmware = commands.add_parser(
        "firmware", prog="kiln firmware", help="base firmware for flash images: what firmware.toml lists"
    )
    firmware.add_argument("what", choices=("list", "fetch"), help="say what is there; fetch what is not")
    said = "with base firmware and its list; default: KILN_FIRMWARE, else firmware in the data folder"
    for each in (build, firmware):
        default = _firmware_folder(os.environ)
        each.add_argument("--firmware", type=pathlib.Path, default=default, metavar="FOLDER", help=said)
    lock = commands.add_parser(
        "lock", prog="kiln lock", help="write kiln.lock: what [dependencies] of kiln.toml are, file by file"
    )
    lock.add_argument("path", type=pathlib.Path, nargs="?", default=pathlib.Path(), help="a repository; default: here")
    lock.add_argument("--index", help=f"of packages; default: KILN_DEPENDENCY_INDEX, else {INDEX}")
    options = parser.parse_args(words)
    if options.command == "build" and options.flash and not options.output:
        build.error("--flash needs --output, the folder that the flash image is written to")
    return options


def main(words: list[str] | None = None) -> int:
    options = _options(words)
    try:
        if options.command == "serve":
            return serve(os.environ)
        if options.command == "lock":
            return lock_folder(options.path, index=options.index or os.environ.get("KILN_DEPENDENCY_INDEX") or INDEX)
        catalogue = Catalogue.load()
        folder = FirmwareFolder(options.firmware, catalogue)
        if options.command == "firmware":
            return fetch_firmware(folder, download_firmware if options.what == "fetch" else None)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: containers go with us
        return command.build(
            options,
            catalogue=catalogue,
            firmware=folder,
            packed=_packed,
            connect=_connect,
            clock=time.monotonic,
            limits=limits_of(os.environ),
        )
    except (RunnerError, ManifestError, UnknownBoardError) as error:
        sys.stderr.write(f"kiln: {error}\n")
        return TROUBLE


def serve(environment: "os._Environ[str]") -> int:
    # Only this command needs the durable engine, which takes most of a second to import.
    from runners.worker import Running, WorkerSettings, serve as work  # noqa: PLC0415

    sys.setswitchinterval(SWITCH_S)
    log = logging.StreamHandler(sys.stdout)
    log.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[log])
    url = environment.get("KILN_DATABASE_URL", "")
    jobs = environment.get("KILN_RUNNER_JOBS", "4")
    warm = environment.get("KILN_RUNNER_WARM", "4")
    if not url or not jobs.isdecimal() or not int(jobs) or not warm.isdecimal():
        sys.stderr.write(
            "kiln: set KILN_DATABASE_URL, and KILN_RUNNER_JOBS to a number from 1 (KILN_RUNNER_WARM: from 0)\n"
        )
        return TROUBLE
    settings = WorkerSettings(database_url=url, name=environment.get("KILN_RUNNER_NAME", "runner-1"), jobs=int(jobs))
    running = Running()
    engine = _connect(warm=int(warm))
    engine.look()
    service = HttpService(clock=time.monotonic, sleep=time.sleep)
    label, clock, now, is_cancelled = settings.label, time.monotonic, time.time, running.is_cancelled
    runner = Runner(name=label, engine=engine, service=service, clock=clock, is_cancelled=is_cancelled, now=now)
    fetcher = Fetcher(name=label, engine=engine, service=service, clock=clock, is_cancelled=is_cancelled)
    downloader = Downloader(name=label, engine=engine, service=service, clock=clock, is_cancelled=is_cancelled)
    stopping = _stop_on_signals(parent=environment.get("KILN_PARENT", ""))
    work(settings, runner, fetcher, downloader, running=running, stop=stopping.wait)
    engine.close()
    sys.stdout.flush()
    os._exit(BUILT)  # jobs that did not end in time hold threads that nobody can stop


def _connect(*, warm: int = 0) -> DockerEngine:
    runtime = os.environ.get("KILN_RUNTIME", "")
    return DockerEngine.connect(now=lambda: datetime.datetime.now(datetime.UTC), warm=warm, runtime=runtime)


def limits_of(environment: Mapping[str, str]) -> Limits:
    """Of what `kiln build` starts, as the service has them. Raises: RefusedError."""
    usual = Limits()
    memory_mb = _number(environment, "KILN_JOB_MEMORY_MB", usual.memory_bytes >> 20)
    return replace(
        usual, memory_bytes=memory_mb << 20, time_s=_number(environment, "KILN_JOB_TIME_S", int(usual.time_s))
    )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise RefusedError(f"{name} is a number from 1, not {text[:40]!r}")
    return int(text)


def _stop_on_signals(*, parent: str) -> threading.Event:
    """Set by SIGTERM or SIGINT. Without the parent that started us we end at once, leaving containers to resume.

    Asked of the process table rather than by a signal at the parent's death, which comes at the death of the
    *thread* that started us, too.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if parent.isdecimal():

        def watch() -> None:
            while os.getppid() == int(parent):
                time.sleep(PARENT_LOOK_S)
            os._exit(TROUBLE)

        threading.Thread(target=watch, name="kiln-parent", daemon=True).start()
    return stopping


def _firmware_folder(environment: "os._Environ[str]") -> pathlib.Path:
    """As the service has it (docs/settings.md)."""
    named, data = environment.get("KILN_FIRMWARE", ""), environment.get("KILN_DATA", ".kiln")
    return pathlib.Path(named) if named else pathlib.Path(data) / "firmware"


def download_firmware(url: str) -> bytes:
    """From where the operator's list says, redirects included: the digest is checked. Raises: RunnerError."""
    return Direct(time_s=FIRMWARE_S, follows=True).get(url, MAX_FIRMWARE_BYTES)


def fetch_firmware(folder: FirmwareFolder, get: Callable[[str], bytes] | None) -> int:
    """Raises: FlashError."""
    code = BUILT
    for each, became in fetch(folder, get):
        print(sentence(f"{each.name}: {became}"))
        code = code if became in (THERE, FETCHED) else TROUBLE
    return code


def lock_folder(folder: pathlib.Path, *, index: str) -> int:
    """Raises: RunnerError, ManifestError."""
    for line in locking.lock_folder(folder, get=_direct(os.environ).get, index=index, catalogue=Catalogue.load()):
        print(sentence(line))
    return BUILT


def _packed(manifest: Manifest, files: Mapping[str, bytes | None]) -> bytes | None:
    """What a build depends on, by its lock. Raises: RunnerError, ManifestError."""
    return locking.packed(manifest, files, Cache(folder=_cache(os.environ), get=_direct(os.environ).get))


def _direct(environment: "os._Environ[str]") -> Direct:
    """Raises: RefusedError."""
    hosts = split_hosts(environment.get("KILN_DEPENDENCY_HOSTS", ""))
    if said := complaint_of_hosts(hosts):
        raise RefusedError(f"KILN_DEPENDENCY_HOSTS: {said}")
    return Direct(hosts=frozenset(hosts))


def _cache(environment: "os._Environ[str]") -> pathlib.Path:
    """XDG Base Directory Specification."""
    return pathlib.Path(environment.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kiln" / "files"


if __name__ == "__main__":
    sys.exit(main())
