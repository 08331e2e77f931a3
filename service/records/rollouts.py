"""Roll-outs and the devices in them."""

import datetime
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service.domain.audit import Noted
from service.domain.build import BuildId
from service.domain.device import Device, DeviceId
from service.domain.notice import Order
from service.domain.release import Release, ReleaseDigest
from service.domain.repository import RepositoryId
from service.domain.rollout import Rollout, RolloutId, RowState
from service.domain.rollout_counts import Counts, Look
from service.domain.rollout_plan import Candidate, Plan, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A device in a roll-out."""

    device: DeviceId
    stage: int
    state: RowState
    reason: str = ""
    tries: int = 0
    at: datetime.datetime  # when its state began
    is_heard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A device's part in a roll-out. `digest` is of the bundle for its board, if there is one."""

    rollout: Rollout
    row: Row
    digest: ReleaseDigest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What becomes of a row; only if it is in one of the states `of`."""

    device: DeviceId
    state: RowState
    reason: str = ""
    of: Collection[RowState]
    due_at: datetime.datetime | None = None


class Rollouts(Protocol):
    def plan(self, repository: RepositoryId, channel: str) -> Plan | None:
        """Of a channel; None: as by default."""

    def set_plan(self, repository: RepositoryId, channel: str, plan: Plan | None, *, deed: Noted | None = None) -> None:
        """And note who did it."""

    def begin(
        self, release: Release, channel: str, plan: Plan, *, by: str, now: datetime.datetime, again: bool = False
    ) -> Rollout | None:
        """A roll-out of this release to this channel, in the place of those that go on there; None when the channel
        does not point at it any more.

        The one that there is, when the release came to this channel before, unless it is to be `again`.
        """

    def unbegun(self) -> list[tuple[BuildId, str, str]]:
        """Releases that channels point at by a promotion which was cut off before their roll-out: the release, the
        channel, and who promoted it.
        """

    def get(self, name: RolloutId) -> Rollout:
        """Raises: NotFoundError."""

    def newest(self, repository: RepositoryId, channel: str) -> Rollout | None: ...

    def going_on(self) -> list[RolloutId]:
        """Those in which something may be to do, oldest first."""

    def page(
        self, repositories: Collection[RepositoryId], *, channel: str = "", before: int = 0, limit: int = 100
    ) -> list[Rollout]:
        """Newest first, those with an id below `before` (0: all)."""

    def of_build(self, build: BuildId) -> list[Rollout]: ...

    def good(self, repository: RepositoryId, channel: str, *, below: int = 0) -> BuildId | None:
        """The newest release of the channel, not withdrawn, that a roll-out finished with; of one without any roll-out
        (it came before there were any) likewise. `below` this counter, unless 0.
        """

    def ordered(self) -> list[BuildId]:
        """Whose releases devices are to run, as they were told last."""

    def change(self, seen: Rollout, *, deed: Noted | None = None, **values: Any) -> bool:
        """Write these fields, and who did it, unless state or stage are others than those that were seen."""

    def replan(self, seen: Rollout, plan: Plan, *, deed: Noted) -> bool:
        """As `change`, of the plan; one that did not start has its devices written down anew."""


class Crowd(Protocol):
    """The devices of roll-outs."""

    def candidates(self, rollout: Rollout) -> list[Candidate]:
        """Who follows its channel now, and is not pinned."""

    def add(self, rollout: RolloutId, rows: Sequence[tuple[str, int, float]], *, now: datetime.datetime) -> None:
        """Device, stage and delay in seconds of each. Those that are in it already stay as they are."""

    def join(self, rollout: Rollout, device: DeviceId, *, now: datetime.datetime) -> None:
        """A late joiner. One that had left takes part again."""

    def look(self, rollout: Rollout, *, now: datetime.datetime) -> tuple[list[Counts], Look]: ...

    def draw(self, rollout: Rollout, count: int) -> int:
        """Fill that many places of its stage from later ones: who is connected first, then who was seen last."""

    def gather(self, rollout: Rollout) -> int:
        """Those of later stages whose turn did not come are in its stage, if they have its tag or group by now."""

    def meant(self, repository: RepositoryId, channel: str, stage: Stage) -> int:
        """How many devices a stage by tag or group would have now. Raises: NotFoundError: there is no such group."""

    def set_aside(self, rollout: Rollout, *, at_once: bool, now: datetime.datetime) -> int:
        """A device that is ordered and was not heard counts to the next stage: one that had its time, or is away."""

    def due(self, rollout: Rollout, limit: int, *, now: datetime.datetime) -> list[tuple[Device, int]]:
        """Whose turn it is, with the tries that they had."""

    def order(
        self,
        rollout: Rollout,
        orders: Sequence[tuple[DeviceId, Order]],
        *,
        paced_at: datetime.datetime | None,
        now: datetime.datetime,
    ) -> int:
        """Give these devices their orders, all in one transaction; how many got theirs.

        None does when the roll-out does not go on; one that was changed by others meanwhile, or whose turn is over,
        gets none.
        """

    def mark(self, rollout: RolloutId, marks: Sequence[Mark], *, now: datetime.datetime) -> None: ...

    def parts(self, devices: Collection[DeviceId], *, late: Collection[ReleaseDigest] = ()) -> list[Part]:
        """Of these in roll-outs that are not over. Most devices have one or none.

        Those, too, in roll-outs of the bundles `late` that are over, where they failed or left.
        """

    def heard(self, rollout: RolloutId, said: Sequence[tuple[DeviceId, str]], *, now: datetime.datetime) -> None:
        """Those that follow their order (with an empty reason), or refused it for now."""

    def give_up(self, rollout: Rollout, *, before: datetime.datetime) -> int:
        """Those that refuse their order since before then, again and again, have failed."""

    def leave(self, rollout: RolloutId, states: Collection[RowState], reason: str, *, limit: int = 5000) -> int:
        """So many devices of these states take no part any more."""

    def excuse(self, rollout: RolloutId) -> None:
        """What failed up to now stops it no more."""

    def retry(
        self,
        rollout: Rollout,
        devices: Collection[DeviceId] | None,
        *,
        now: datetime.datetime,
        deed: Callable[[int], Noted],
    ) -> int | None:
        """Those that failed are pending again (None: all of them), and one that had finished goes on: all of it, with
        its entry in the audit log, or nothing. How many; None when it is not as it was seen, or a newer one began.
        """

    def page(
        self, rollout: RolloutId, *, states: Collection[RowState] = (), after: str = "", limit: int = 100
    ) -> list[Row]:
        """In the order of their ids."""

    def totals(self, rollout: Rollout) -> list[Counts]: ...
