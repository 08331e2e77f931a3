"""A real Home Assistant as a process beside the tests: what it shows of devices, and its button."""

import json
import pathlib
import subprocess
from dataclasses import dataclass
from typing import Any, Self

from tests.outside.data import OUTSIDE, there
from tests.servers import free_port

STOP_S = 20.0


class RefusedError(Exception):
    """Home Assistant's own sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One of a device, as Home Assistant's pages have it."""

    id: str
    category: str | None
    state: str | None
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A device, as Home Assistant's pages have it."""

    about: dict[str, Any]
    entities: dict[str, Entity]  # by what Kiln calls them

    @property
    def firmware(self) -> Entity:
        return self._ending("firmware")

    @property
    def connection(self) -> Entity:
        return self._ending("connection")

    def _ending(self, kind: str) -> Entity:
        return next(each for name, each in self.entities.items() if name.endswith(f"-{kind}"))


class Assistant:
    """Set up with the broker on `port` by the answers to its own questions."""

    def __init__(self, folder: pathlib.Path, port: int, user: str, password: str) -> None:
        folder.mkdir(exist_ok=True)
        self._errors = folder / "stderr"
        python = there(OUTSIDE / "home-assistant" / "bin" / "python")
        script = pathlib.Path(__file__).with_name("home_assistant.py")
        self._command = [str(python), str(script), str(folder), str(free_port()), str(port), user, password]
        self._process: subprocess.Popen[str] | None = None
        self.version = ""

    def start(self) -> None:
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.version = self._answer()["version"]

    def stop(self) -> None:
        """As a shut-down of Home Assistant."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(STOP_S)
        finally:
            process.kill()
            process.wait(STOP_S)
            process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, question: str, *words: str) -> Any:
        """Raises: RefusedError."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([question, *words]) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if isinstance(answer, dict) and "error" in answer:
            raise RefusedError(answer["error"])
        return answer

    def device(self, serial: str) -> Shown | None:
        """The one of this serial number, which is Kiln's id of it."""
        for each in self.ask("devices"):
            if each["serial_number"] == serial:
                entities = {name: Entity(**entity) for name, entity in each.pop("entities").items()}
                return Shown(about=each, entities=entities)
        return None

    def install(self, entity: Entity) -> None:
        self.ask("install", entity.id)

    def complaints(self) -> list[str]:
        """What it warned of since it started."""
        return list(self.ask("complaints"))

    def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"Home Assistant ended:\n{self._errors.read_text()[-3000:]}"
        return json.loads(line)
