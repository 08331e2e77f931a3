"""What `service.records.History` promises, on SQLite in a file: what is removed when it is old, and what never is."""

import datetime
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from service.adapters.audit import DatabaseAudit
from service.adapters.database import open_database
from service.adapters.history import DatabaseHistory
from service.adapters.schema import bundles
from service.adapters.schema_devices import claims, devices, reports
from service.adapters.schema_rollouts import channel_plans, rollout_devices, rollouts
from service.domain.audit import Deed
from service.flows import forget
from service.flows.forget import forget as forgotten
from tests.fakes.clock import StoppedClock

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
DAYS = 30
OLD, YOUNG = (NOW - datetime.timedelta(days=days) for days in (DAYS + 1, DAYS - 1))
BLINK, OTHER = "local/acme/blink", "local/acme/other"


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'kiln.db'}", durable=False)
    yield engine
    engine.dispose()


def put(engine: sa.Engine, table: sa.Table, *rows: dict[str, Any]) -> None:
    with engine.begin() as connection:
        for row in rows:
            connection.execute(table.insert().values(**row))


def kept(engine: sa.Engine, column: sa.Column[Any]) -> list[Any]:
    with engine.connect() as connection:
        return sorted(connection.execute(sa.select(column)).scalars())


def all_turns(engine: sa.Engine, *, days: int = DAYS) -> int:
    """How many it took until nothing was left to do."""
    history, clock, count = DatabaseHistory(engine), StoppedClock(NOW), 0
    while forgotten(history, clock, days=days):
        count += 1
    return count


def claim(name: str, *, expires: datetime.datetime, used: datetime.datetime | None = None) -> dict[str, Any]:
    texts = dict.fromkeys(("repository", "board", "channel", "made_by", "sealed"), "x")
    times = {"created_at": OLD.timestamp(), "expires_at": expires.timestamp()}
    return {"name": name, **texts, **times, "used_at": used.timestamp() if used else None}


def test_codes_go_when_they_were_used_or_expired_long_ago(engine: sa.Engine) -> None:
    put(
        engine,
        claims,
        claim("open", expires=NOW + datetime.timedelta(hours=1)),
        claim("expired", expires=OLD),
        claim("expired lately", expires=YOUNG),
        claim("used", expires=OLD, used=OLD),
        claim("used lately", expires=OLD, used=YOUNG),
        claim("used and good", expires=YOUNG, used=OLD),
    )

    assert all_turns(engine) == 1
    assert kept(engine, claims.c.name) == ["expired lately", "open", "used and good", "used lately"]


def test_reports_go_by_their_age(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "ROWS", 2)
    times = [OLD] * 5 + [YOUNG] * 3
    put(engine, reports, *({"device": f"d{n % 2}", "at": at.timestamp(), "report": "{}"} for n, at in enumerate(times)))

    assert all_turns(engine) == 3  # so few rows in each
    assert kept(engine, reports.c.at) == [YOUNG.timestamp()] * 3


def rollout(number: int, channel: str, state: str, over: datetime.datetime | None, of: str = BLINK) -> dict[str, Any]:
    times = {"created_at": OLD.timestamp(), "finished_at": over.timestamp() if over else None}
    ids = {"id": number, "build": number, "counter": number}
    return {**ids, "repository": of, "channel": channel, "plan": "{}", "state": state, **times}


ROLLOUTS = [
    rollout(1, "beta", "finished", OLD),
    rollout(2, "beta", "finished", OLD),  # the newest that finished: a device that joins is given its release
    rollout(3, "beta", "aborted", OLD),
    rollout(4, "beta", "superseded", YOUNG),
    rollout(5, "beta", "aborted", OLD),  # the newest
    rollout(6, "stable", "finished", OLD),  # the only one there
    rollout(7, "beta", "superseded", OLD, of=OTHER),
    rollout(8, "beta", "running", None, of=OTHER),
]
GONE = {1, 3, 7}


def test_devices_of_roll_outs_go_when_those_are_over_and_do_not_decide(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "ROWS", 2)
    put(engine, rollouts, *ROLLOUTS)
    put(engine, channel_plans, {"repository": BLINK, "channel": "beta", "plan": "{}"})
    rows = [
        {"rollout": each["id"], "device": f"d{number}", "stage": 0, "state": "done", "at": OLD.timestamp()}
        for each in ROLLOUTS
        for number in range(3)
    ]
    put(engine, rollout_devices, *rows)

    assert all_turns(engine) == 2 * len(GONE)
    assert set(kept(engine, rollout_devices.c.rollout)) == {each["id"] for each in ROLLOUTS} - GONE
    assert kept(engine, rollouts.c.id) == [each["id"] for each in ROLLOUTS]
    assert kept(engine, channel_plans.c.channel) == ["beta"]


def test_a_device_that_runs_a_release_or_is_told_to_stays_in_its_roll_out(engine: sa.Engine) -> None:
    """Whoever undoes that release leads back who is there."""
    put(engine, rollouts, rollout(1, "beta", "superseded", OLD), rollout(9, "beta", "finished", OLD))
    texts = dict.fromkeys(("statement", "object_digest"), "x")
    put(
        engine,
        bundles,
        *(
            {"digest": f"{board}{number}", "build": number, "board": board, "size_bytes": 1, **texts}
            for board in ("avr", "unix")
            for number in (1, 9)
        ),
    )
    put(
        engine,
        devices,
        device("runs", told="unix9", runs="unix1"),
        device("told", told="unix1", runs="unix9"),
        device("told, mute", told="unix1"),
        device("elsewhere", told="unix9", runs="unix9"),
        device("other board", told="avr1"),  # never: a device has bundles of its own board
        device("retired", told="unix1", retired_at=OLD.timestamp()),
    )
    names = ["runs", "told", "told, mute", "elsewhere", "other board", "retired", "unknown"]
    put(
        engine,
        rollout_devices,
        *({"rollout": 1, "device": each, "stage": 0, "state": "done", "at": 0} for each in names),
    )

    assert all_turns(engine) == 1
    assert kept(engine, rollout_devices.c.device) == ["runs", "told", "told, mute"]


def device(name: str, *, told: str, runs: str = "", **others: Any) -> dict[str, Any]:
    texts = {"repository": BLINK, "board": "unix", "channel": "beta", "token_digest": "x"}
    report = json.dumps({"v": 1, "state": "idle", "running": runs}) if runs else None
    return {"id": name, **texts, "created_at": OLD.timestamp(), "desired": told, "report": report, **others}


def test_the_audit_log_is_never_shortened(engine: sa.Engine) -> None:
    audit = DatabaseAudit(engine)
    audit.note(Deed(who="ann", what="claim.made"), now=OLD)

    assert all_turns(engine) == 0
    assert [each.deed.what for each in audit.entries()] == ["claim.made"]


def test_with_0_days_nothing_is_forgotten(engine: sa.Engine) -> None:
    put(engine, claims, claim("expired", expires=OLD))

    assert all_turns(engine, days=0) == 0
    assert kept(engine, claims.c.name) == ["expired"]
