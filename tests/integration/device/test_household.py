"""A release and the end of a device: service, broker and board are all real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.device import DeviceState
from tests.integration.device.household import Household, household
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]

APPLICATION = """import ota
print("place", ota.settings.get("PLACE"))
while True:
    ota.sleep_ms(20)
"""


@pytest.fixture(params=["embedded", "mosquitto"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Household]:
    with household(tmp_path, request.param) as made:
        yield made


def test_a_board_takes_a_release_and_is_retired(home: Household) -> None:
    home.settle()
    digest = home.release(APPLICATION)
    home.said(running=digest)

    home.order("DELETE", "")

    assert home.board.printed("broker says no: 5") >= 1


def test_settings_reach_the_application_and_a_release_keeps_them(home: Household) -> None:
    home.settle()
    first = home.release(APPLICATION)
    home.said(running=first, state=DeviceState.CONFIRMED)

    told = home.order("PATCH", "/settings", texts={"PLACE": "roof"})["configuration"]["digest"]
    home.said(config=told, state=DeviceState.CONFIRMED, running=first)
    home.board.printed("place roof")
    until(lambda: home.order("GET", "")["configuration"]["in_force"])
    second = home.release(APPLICATION + "# newer\n")
    home.said(config=told, state=DeviceState.CONFIRMED, running=second)

    assert home.board.printed("place roof", times=2) >= 2


def test_a_token_is_changed_over_the_air(home: Household) -> None:
    old = home.settle(trial_s=16, poll_s=2)  # it proves the new one over HTTP, too, and not at once
    digest = home.release(APPLICATION)
    home.said(running=digest, state=DeviceState.CONFIRMED)

    home.order("POST", "/token")
    assert old.ask("desired").status == 200
    home.said(config=home.device().config, state=DeviceState.CONFIRMED)

    until(lambda: home.device().new_token_digest is None)
    assert old.ask("desired").status == 401
    until(lambda: home.device().connected)
    home.release(APPLICATION + "# newer\n")
    home.board.printed("place None", times=2)


def test_a_board_is_asked_for_its_log(home: Household) -> None:
    home.settle()
    home.said(state=DeviceState.IDLE)

    log = home.order("POST", "/log")

    assert log["is_fresh"]
    assert "no state" in log["text"]


def test_a_bad_release_leaves_its_reason_and_its_log(home: Household) -> None:
    home.settle()
    first = home.release(APPLICATION)
    home.said(running=first, state=DeviceState.CONFIRMED)

    bad = home.release("import nothing_of_that_name\n")

    home.said(state=DeviceState.ROLLED_BACK, reason="import_error", release=bad, running=first)
    shown = home.order("GET", "")
    assert shown["report"]["why"] == "the application raised while starting on trial"
    log = until(lambda: home.order("GET", "/log")["text"])
    assert "nothing_of_that_name" in log


def test_a_wrong_address_comes_back_by_itself(home: Household) -> None:
    home.settle(trial_s=2, boots=2, connect_s=1)
    digest = home.release(APPLICATION)
    home.said(running=digest, state=DeviceState.CONFIRMED)
    good = home.order("PATCH", "/settings", texts={"PLACE": "roof"})["configuration"]["digest"]
    home.said(config=good, state=DeviceState.CONFIRMED)

    home.mislead()

    report = home.said(state=DeviceState.ROLLED_BACK, config=good)
    assert (report.reason, report.running) == ("no_confirm", digest)
    home.board.printed("place roof", times=2)


def test_an_agent_is_updated_and_its_reports_say_which_one_runs(home: Household) -> None:
    home.settle()
    digest = home.release(APPLICATION)
    home.said(running=digest, state=DeviceState.CONFIRMED)

    home.order("POST", "/agent")

    home.said(agent=1, running=digest)
    assert home.board.printed("agent confirmed, counter 1") >= 1
