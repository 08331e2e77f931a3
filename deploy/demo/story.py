"""Kiln's main job, told once with real parts. `make demo` shows it; the end-to-end test asserts each step."""

import hashlib
import pathlib
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from deploy.demo.parts import ROOT, Device, Kiln, Repository

PATIENCE_S = 60.0  # for anything that must happen
LOOK_EVERY_S = 0.03
REPOSITORY, DEVICE = "local/demo/blink", "demo-unix"
FINAL = ("succeeded", "failed", "error", "cancelled")


@dataclass(slots=True)
class Step:
    name: str
    seconds: float
    detail: str = ""


@dataclass(slots=True)
class Chapter:
    """One push and what came of it. `moments` are seconds after the push began."""

    build: dict[str, Any] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    line: str = ""  # what the new code printed on the device


class Story:
    """A context manager; leaving it stops everything that it started, from any state."""

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _line: None,
        corrupt: Callable[[pathlib.Path, str], None] | None = None,
    ) -> None:
        self.folder = folder
        self.say = say
        self.steps: list[Step] = []
        self.kiln = Kiln(folder / "data", settings or {})
        self._corrupt = corrupt or corrupt_local
        self._stack = ExitStack()
        self.keep = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if not self.keep:
            self._stack.close()

    # -- the parts --

    def start(self) -> None:
        with self._step("Kiln starts: service, runner, database, objects, broker") as step:
            self._stack.callback(self.kiln.stop)
            self.kiln.start()
            step.detail = self.kiln.url

    def register(self) -> None:
        with self._step("a bare git repository is registered, its hook installed") as step:
            self.repository = Repository(self.folder, ROOT / "examples" / "blink")
            body = {"forge": "local", "path": "demo/blink", "url": self.repository.url, "public": True}
            added = self.kiln.call("/api/v1/repositories", body)
            self.repository.install_hook(added["hook_url"], added["secret"])
            step.detail = str(added["id"])

    def enrol(self) -> None:
        with self._step("a virtual device is enrolled: MicroPython on littlefs, agent and keys") as step:
            body = {"id": DEVICE, "repository": REPOSITORY, "board": "unix", "channel": "beta"}
            enrolled = self.kiln.call("/api/v1/devices", body)
            settings = {**enrolled["device"], "confirm_after_s": 0.2}
            self.device = Device.enrolled(self.folder / "flash.bin", device=settings, trust=enrolled["trust"])
            self._stack.callback(self.device.power_off)
            self.device.power_on()
            step.detail = DEVICE

    # -- the chapters --

    def first_version(self) -> Chapter:
        with self._step("version 1: pushed, built, installed over the air") as step:
            chapter = self._push("1", "first version")
            self._wait_for_device(chapter, "confirmed")
            chapter.line = self._line(chapter, "blink 1")
            step.detail = chapter.line
        return chapter

    def update(self, version: str) -> Chapter:
        """A good release, pushed and confirmed."""
        chapter = self._push(version, f"version {version}")
        self._wait_for_device(chapter, "confirmed")
        chapter.line = self._line(chapter, f"blink {version}")
        return chapter

    def good_update(self) -> Chapter:
        with self._step("version 2: git push to new code running on the device") as step:
            chapter = self._push("2", "blink faster", show=True)
            self._wait_for_device(chapter, "confirmed")
            chapter.line = self._line(chapter, "blink 2")
            step.detail = chapter.line
        for name, at in sorted(chapter.moments.items(), key=lambda each: each[1]):
            if name != "begin":
                self.say(f"      {at:7.2f} s  {name}")
        self.say(f"      the device prints: {chapter.line}")
        return chapter

    def bad_release(self) -> Chapter:
        with self._step("version 3 raises at import: the device rolls back by itself") as step:
            main = self.repository.work / "src" / "main.py"
            good = main.read_text()
            main.write_text('raise RuntimeError("wired to the wrong pin")\n' + good)
            chapter = self._push("3", "a bad release")
            self._wait_for_device(chapter, "rolled_back")
            chapter.line = self._line(chapter, "blink 2")
            main.write_text(good)
            report = chapter.device["report"]
            step.detail = f"{report['reason']}: {report['detail']}"
        return chapter

    def tampered(self) -> Chapter:
        with self._step("version 4 is tampered with in storage: the device refuses it") as step:
            self.device.power_off()
            chapter = self._push("4", "a good release, until somebody touches it")
            bundle = next(each for each in chapter.build["release"]["bundles"] if each["board"] == "unix")
            self._corrupt(self.kiln.data, bundle["digest"])
            chapter.moments["power"] = time.monotonic() - chapter.moments["begin"]
            self.device.power_on()
            self._wait_for_device(chapter, "refused")
            chapter.line = self._line(chapter, "blink 2", after="power")
            report = chapter.device["report"]
            step.detail = f"{report['reason']}, still running {chapter.line}"
        return chapter

    # -- how they are watched --

    def _push(self, version: str, message: str, *, show: bool = False) -> Chapter:
        self.repository.set_version(version)
        self.repository.commit(message)
        chapter = Chapter(moments={"begin": time.monotonic()})
        said = self.repository.push()
        self._mark(chapter, "the hook's delivery is durable")
        if "/builds/" not in said:
            raise RuntimeError(f"the hook got no build: {said}")
        build = int(said.rsplit("/builds/", 1)[1].split()[0])
        if show:
            threading.Thread(target=self._show_log, args=(chapter, build), daemon=True).start()
        self._wait(lambda: self._look_at_build(chapter, build), f"build {build} to end")
        if chapter.build["status"] != "succeeded":
            raise RuntimeError(f"build {build} {chapter.build['status']}: {chapter.build['message']}")
        return chapter

    def _look_at_build(self, chapter: Chapter, build: int) -> bool:
        chapter.build = self.kiln.call(f"/api/v1/builds/{build}")
        for job in chapter.build["jobs"]:
            if job["status"] in FINAL:
                self._mark(chapter, f"{job['board']} {job['status']}")
        if chapter.build["release"]:
            self._mark(chapter, "the release is signed")
        return chapter.build["status"] in FINAL

    def _show_log(self, chapter: Chapter, build: int) -> None:
        def line(text: str) -> None:
            chapter.log.append(text)
            self.say(f"      unix | {text}")

        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                self.kiln.follow(f"/builds/{build}/unix/log", line)
            except OSError:  # not planned yet
                time.sleep(LOOK_EVERY_S)
            else:
                return

    def _wait_for_device(self, chapter: Chapter, state: str) -> None:
        bundle = next(each for each in chapter.build["release"]["bundles"] if each["board"] == "unix")

        def look() -> bool:
            chapter.device = self.kiln.call(f"/api/v1/devices/{DEVICE}")
            if chapter.device["desired"] == bundle["digest"]:
                self._mark(chapter, "a retained notice is out")
            for report in reversed(chapter.device["reports"]):
                if report["release"] == bundle["digest"]:
                    self._mark(chapter, f"device: {report['state']}")
            report = chapter.device["report"] or {}
            return bool(report.get("release") == bundle["digest"] and report["state"] == state)

        self._wait(look, f"the device to report {state}")

    def _line(self, chapter: Chapter, text: str, *, after: str = "") -> str:
        since = chapter.moments["begin"] + (chapter.moments[after] if after else 0.0)
        self._wait(lambda: self.device.printed(text, since=since) is not None, f"the device to print {text!r}")
        found = self.device.printed(text, since=since)
        assert found is not None
        chapter.moments["the new code prints its line"] = found[0] - chapter.moments["begin"]
        return found[1]

    def _mark(self, chapter: Chapter, name: str) -> None:
        chapter.moments.setdefault(name, time.monotonic() - chapter.moments["begin"])

    def _wait(self, look: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not look():
            if time.monotonic() > deadline:
                device = "\n".join(line for _, line in self.device.lines[-20:]) if hasattr(self, "device") else ""
                raise TimeoutError(f"waited {PATIENCE_S:g} s for {what}\n{device}")
            time.sleep(LOOK_EVERY_S)

    def _step(self, name: str) -> AbstractContextManager[Step]:
        return _Timed(self, name)


class _Timed(AbstractContextManager[Step]):
    def __init__(self, story: Story, name: str) -> None:
        self._story = story
        self._step = Step(name, 0.0)
        self._began = 0.0

    def __enter__(self) -> Step:
        self._story.say(f"  ... {self._step.name}")
        self._began = time.monotonic()
        return self._step

    def __exit__(self, error: type[BaseException] | None, *_rest: object) -> None:
        self._step.seconds = time.monotonic() - self._began
        if error is None:
            self._story.steps.append(self._step)
            self._story.say(f"  ok  {self._step.seconds:6.2f} s  {self._step.detail}")


def corrupt_local(data: pathlib.Path, release: str) -> None:
    """Flip one bit of the bundle's last byte, in the local object folder, behind Kiln's back."""
    for path in (data / "objects").rglob("*"):
        if path.is_file() and is_bundle(path, release):
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.chmod(0o600)
            path.write_bytes(content)
            return
    raise RuntimeError("the bundle is not in the object folder")


def is_bundle(path: pathlib.Path, release: str) -> bool:
    """Whether this file holds the bundle with that release digest (docs/ota.md)."""
    with path.open("rb") as file:
        if file.readline(16) != b"KILN1\n":
            return False
        return hashlib.sha256(file.readline(2000).rstrip(b"\n")).hexdigest() == release
