"""A Kiln with a fleet: a repository that is built for real, and devices that were written into the database.

Enrolment is not measured here, so it is left out: the rows of the devices, and their accounts at the embedded broker,
are those that it makes, with a token for each.
"""

import contextlib
import hashlib
import os
import pathlib
import secrets
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from service.adapters.database import open_database
from service.adapters.rollouts import DatabaseRollouts
from service.adapters.schema_devices import devices
from service.domain.repository import RepositoryId
from service.domain.rollout_plan import Plan
from service.flows.enrol import token_digest
from tests.bench.field import Field, wait
from tests.bench.fleet_device import Device, World, now

REPOSITORY = RepositoryId("local/bench/blink")
CHANNEL = "beta"  # which pushes to the main branch feed
FILES = 20
HOSTS = 8  # addresses of this machine that devices come from
LOOK_S = 0.05
ROWS = 1000  # of one insert


@dataclass(frozen=True)
class Home:
    field: Field
    world: World
    engine: sa.Engine

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: pathlib.Path) -> Iterator["Home"]:
        with Field.open(folder, ["unix"]) as field:
            engine = open_database(f"sqlite:///{field.kiln.data / 'kiln.db'}")
            try:
                world = World.of(field.kiln.port, field.kiln.mqtt_port, field.kiln.call("/keys.json"))
                yield cls(field=field, world=world, engine=engine)
            finally:
                engine.dispose()

    def enrol(self, count: int, prefix: str) -> list[Device]:
        made = [
            Device(
                id=f"{prefix}-{number:06}",
                token=secrets.token_urlsafe(32),
                here=f"127.0.0.{2 + number % HOSTS}",
                world=self.world,
            )
            for number in range(count)
        ]
        row = {"repository": REPOSITORY, "board": "unix", "channel": CHANNEL, "seq": 0, "created_at": now()}
        for start in range(0, count, ROWS):
            some = made[start : start + ROWS]
            rows = [{"id": each.id, "token_digest": token_digest(each.token), **row} for each in some]
            with self.engine.begin() as connection:
                connection.execute(devices.insert(), rows)
        self._accounts(made)
        return made

    def _accounts(self, made: list[Device]) -> None:
        """As EmbeddedAccounts.allow for each, in one transaction."""
        rows = []
        for each in made:
            salt = secrets.token_bytes(16)
            rows.append((each.id, salt, hashlib.sha256(salt + each.token.encode()).digest()))
        path = self.field.kiln.data / "broker" / "broker.db"
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as accounts, accounts:
            accounts.executemany("insert or replace into accounts values (?, ?, ?)", rows)

    def plan(self, plan: Plan) -> None:
        DatabaseRollouts(self.engine).set_plan(REPOSITORY, CHANNEL, plan)

    def release(self, files: int = FILES) -> "Released":
        """Push something new, and wait until its release is signed."""
        self.field.write(files, str(uuid.uuid4()))
        build = self.field.deliver(self.field.commit())
        query = "select r.created_at, b.digest, b.size_bytes from releases r join bundles b on b.build = r.build"
        wait(lambda: self.ask(f"{query} where r.build = ?", build), every_s=LOOK_S)
        ((at, digest, size),) = self.ask(f"{query} where r.build = ?", build)
        return Released(build=build, at=float(str(at)), digest=str(digest), size=int(str(size)))

    def counts(self, build: int) -> dict[str, int]:
        """Devices of the roll-out of this build, by state."""
        query = "select d.state, count(*) from rollout_devices d join rollouts r on r.id = d.rollout where r.build = ?"
        return {str(state): int(str(count)) for state, count in self.ask(f"{query} group by d.state", build)}

    def ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        return self.field.ask(query, *values)

    def resident_mb(self) -> dict[str, float]:
        """The most that each process of this Kiln ever held, by what it is."""

        def peak(process: pathlib.Path) -> float:
            lines = (process / "status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

        return self._of_each(peak)

    def processor_s(self) -> dict[str, float]:
        """What each process of this Kiln took since it started, by what it is."""

        def taken(process: pathlib.Path) -> float:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime of proc(5)

        return self._of_each(taken)

    def _of_each(self, look: Callable[[pathlib.Path], float]) -> dict[str, float]:
        found = {}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.field.kiln.data).encode() in (process / "environ").read_bytes():
                    words = (process / "cmdline").read_bytes().decode().split("\0")
                    found[" ".join(words[2:4])] = look(process)
        return found


@dataclass(frozen=True, kw_only=True)
class Released:
    build: int
    at: float  # Unix seconds
    digest: str
    size: int
