"""`kiln rollouts` against a service over HTTP."""

import json
import pathlib
import threading
from collections.abc import Iterator

import pytest

from service import rolling
from service.cli import rollout_screen
from service.cli.rollout_screen import picture
from service.domain.device import Device, DeviceId, Report
from service.flows import rollouts
from tests.contract.terminal import Terminal
from tests.fakes.devices import DeviceSite
from tests.fakes.site import Site

NAMES = ("one", "two")
PLAN = """
start = 2030-01-01T08:00:00+01:00
per_minute = 60
[window]
from = "22:00"
to = "04:00"
[[stages]]
count = 1
[[stages]]
"""


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    blink = made.follow("acme/blink")
    for name in NAMES:
        made.kiln.fleet.add_device(
            Device(
                id=DeviceId(name),
                repository=blink.id,
                board="unix",
                channel="beta",
                token_digest="0" * 64,
                created_at=made.kiln.clock.now(),
            )
        )
    yield made
    made.close()


def released(site: Site) -> str:
    """The digest of a release that is rolled out as by default."""
    stage = DeviceSite(site, broker=site.kiln.broker.link, accounts=site.kiln.broker.accounts)  # type: ignore[arg-type]  # neither is used
    site.kiln.rollouts.set_plan(site.of("blink").id, "beta", None)
    return stage.release(site.build(site.of("blink")), plan=None).digest


def reported(site: Site, name: str, state: str, digest: str) -> None:
    running = digest if state == "confirmed" else ""
    report = f'{{"v":1,"state":"{state}","reason":"import_error","release":"{digest}","running":"{running}","seq":1}}'
    kept = Report.parse(report.encode())
    known = site.kiln.fleet.report([(DeviceId(name), kept)], now=site.kiln.clock.now())
    rolling.heard(site.kiln, [(known[DeviceId(name)], kept)])
    rollouts.advance_all(rolling.parts(site.kiln))


def test_a_rollout_is_followed_until_somebody_has_to_decide(
    site: Site, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = released(site)
    steps = iter([lambda: reported(site, "one", "rolled_back", digest)])
    monkeypatch.setattr(rollout_screen, "sleep", lambda _seconds: next(steps)())

    failed = terminal.text("rollouts", "follow", "1")
    resumed = terminal.text("rollouts", "retry", "1", "one")

    assert failed[0] == 1
    assert "1 ordered" in failed[1]
    assert "paused: 1 of 1 devices of stage 1 (1 device) failed" in failed[1]
    assert "  one: import_error" in failed[1]
    assert resumed[0] == 0
    assert terminal.text("rollouts", "resume", "1")[0] == 0
    rollouts.advance_all(rolling.parts(site.kiln))
    for name in NAMES:
        reported(site, name, "confirmed", digest)
    done = terminal.text("rollouts", "follow", "1")
    assert (done[0], '"state": "finished"' in done[1]) == (0, True)


def test_what_an_abort_shows_is_how_it_ended(site: Site, terminal: Terminal) -> None:
    released(site)
    working = threading.Timer(0.5, rollouts.advance_all, [rolling.parts(site.kiln)])  # as the service does
    working.start()

    code, said = terminal.text("rollouts", "abort", "1")
    working.join()

    counts = json.loads(said)["counts"]
    assert code == 0
    assert {name for name in counts if counts[name]} == {"left"}
    assert counts["left"] == len(NAMES)


def test_an_abort_that_takes_long_is_not_waited_for(
    site: Site, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_screen, "OVER_S", 0)
    released(site)

    code, said = terminal.text("rollouts", "abort", "1")

    assert (code, '"state": "aborted"' in said) == (0, True)
    assert '"finished_at": null' in said


def test_roll_outs_and_their_devices_are_listed(
    site: Site, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_screen, "OVER_S", 0)
    released(site)

    listed = terminal.text("rollouts", "list", "--repository", "github/acme/blink", "--channel", "beta")
    devices = terminal.text("rollouts", "devices", "1", "--state", "ordered")
    aborted = terminal.text("rollouts", "abort", "1", "--why", "wrong day")
    refused = terminal.text("rollouts", "pause", "1")

    assert '"state": "running"' in listed[1]
    assert '"device": "one"' in devices[1]
    assert '"why": "wrong day"' in aborted[1]
    assert refused == (1, "kiln: roll-out 1 is aborted\n")


def test_a_plan_comes_from_a_file_or_from_options(site: Site, terminal: Terminal, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(PLAN)
    beta = ("rollouts", "plan", "beta", "--repository", "github/acme/blink")

    of_file = terminal.text(*beta, "--file", str(file))
    options = ("--canary", "2", "--percent", "10,40", "--soak", "0.5", "--approval", "--errors", "5")
    of_options = terminal.text(*beta, *options)
    kept = site.kiln.rollouts.plan(site.of("blink").id, "beta")
    default = terminal.text(*beta, "--default")
    shown = terminal.text(*beta)

    assert '"start": "2030-01-01T07:00:00+00:00"' in of_file[1]
    assert of_options[0] == 0
    assert kept is not None
    assert [each.name for each in kept.stages] == ["2 devices", "10 %", "40 %", "all the rest"]
    assert [each.soak_s for each in kept.stages] == [1800, 1800, 1800, 0]
    assert kept.stages[-1].approval
    assert '"is_default": true' in default[1]
    assert shown == default
    file.write_text("stages = 1")
    assert terminal.text(*beta, "--file", str(file)) == (1, "kiln: 'stages' is a list of 1 to 20 stages\n")
    file.write_text("= 1")
    assert "is not TOML" in terminal.text(*beta, "--file", str(file))[1]
    assert "say one of" in terminal.text(*beta, "--file", str(file), "--default")[1]
    assert "--percent is numbers" in terminal.text(*beta, "--percent", "ten")[1]


def test_a_stage_that_nobody_is_in_is_said_with_the_plan_and_waits_for_a_word(
    site: Site, terminal: Terminal, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "plan.toml"
    beta = ("rollouts", "plan", "beta", "--repository", "github/acme/blink", "--file", str(file))
    file.write_text('[[stages]]\ngroup = "hal 3"\n[[stages]]\n')
    refused = terminal.text(*beta)
    file.write_text('[[stages]]\ntag = "bench"\n[[stages]]\n')
    warned = terminal.text(*beta)
    plan = site.kiln.rollouts.plan(site.of("blink").id, "beta")
    stage = DeviceSite(site, broker=site.kiln.broker.link, accounts=site.kiln.broker.accounts)  # type: ignore[arg-type]  # neither is used
    stage.release(site.build(site.of("blink")), plan=plan)

    followed = terminal.text("rollouts", "follow", "1")
    shown = json.loads(terminal.text("rollouts", "show", "1")[1])
    approved = json.loads(terminal.text("rollouts", "approve", "1")[1])
    rollouts.advance_all(rolling.parts(site.kiln))

    assert refused[0] == 1
    assert "stage 1: no group 'hal 3' in github/acme/blink" in refused[1]
    assert "no device of beta is in stage 1 (tag bench) now" in json.loads(warned[1])["warning"]
    assert (followed[0], "it goes no further by itself" in followed[1]) == (1, True)
    assert (shown["state"], shown["approval"]) == ("waiting", 2)
    assert approved["approval"] is None
    assert json.loads(terminal.text("rollouts", "show", "1")[1])["counts"]["ordered"] == len(NAMES)


def test_one_that_goes_on_gets_another_plan(site: Site, terminal: Terminal, tmp_path: pathlib.Path) -> None:
    released(site)
    file = tmp_path / "plan.toml"
    file.write_text("per_minute = 7\n[[stages]]\ncount = 1\n[[stages]]\n")

    changed = terminal.text("rollouts", "replan", "1", "--file", str(file))
    file.write_text("[[stages]]")
    refused = terminal.text("rollouts", "replan", "1", "--file", str(file))

    assert (changed[0], '"per_minute": 7' in changed[1]) == (0, True)
    assert "its stages keep their devices" in refused[1]


def test_nothing_of_a_device_moves_a_terminal() -> None:
    counts = dict.fromkeys(("pending", "ordered", "done", "held", "left"), 0) | {"failed": 3}
    found = {
        "id": 1,
        "version": "1",
        "channel": "beta",
        "repository": "r",
        "state": "paused",
        "why": None,
        "stage": 1,
        "items": [{"number": 1, "name": "all the rest", **counts}],
        "failures": [{"device": "one", "reason": "crashed: \x1b[2Jboo"}],
        "unheard": [],
        "counts": counts,
    }

    shown = picture(found)

    assert "\x1b" not in shown
    assert "and 2 more: kiln rollouts devices 1 --state failed" in shown
