"""A release and the end of a device: service, broker and board are all real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.device.household import Household, household

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(90)]

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

    home.board.printed("broker says no: 5")
