"""A world whose repository has a connection, and a teller for it."""

import datetime

from service.adapters.marks import DatabaseMarks
from service.domain.build import BuildId, BuildJob, JobId, Status
from service.flows.tell import Teller
from tests.fakes.forge import MemoryForge, MemoryForges, connected
from tests.unit.service.conftest import BLINK, World


class Stage:
    def __init__(self, world: World) -> None:
        self.world = world
        world.repositories.change(BLINK.id, connection="acme")
        self.forges = MemoryForges()
        self.forge = self.forges.add(connected(BLINK), MemoryForge(world.clock))
        self.marks = DatabaseMarks(world.builds._engine)
        self.restart()

    def restart(self) -> None:
        self.teller = Teller(
            marks=self.marks,
            builds=self.world.builds,
            repositories=self.world.repositories,
            forges=self.forges,
            clock=self.world.clock,
            base_url="http://kiln",
            chance=lambda: 0.5,
        )

    def pass_time(self, seconds: int, *, step_s: float = 1.0) -> int:
        written = 0
        for _ in range(int(seconds / step_s)):
            written += self.teller.tell()
            self.world.clock.move(seconds=step_s)
        return written

    def plan(self, build: BuildId, *boards: str) -> list[JobId]:
        jobs = [
            BuildJob(id=JobId(f"{build}-{board}"), build=build, board=board, family="micropython") for board in boards
        ]
        self.world.builds.add_jobs(build, jobs)
        return [each.id for each in jobs]

    def end(self, build: BuildId, status: Status, message: str = "") -> None:
        self.world.builds.end_build(build, status, message, now=self.world.clock.now())

    def said(self) -> list[tuple[str, str]]:
        return [(each.mark.context, each.mark.state.value) for each in self.forge.writes]

    def due(self) -> list[BuildId]:
        far = self.world.clock.now() + datetime.timedelta(days=30)
        return [each.build.id for each in self.marks.untold(now=far)]
