"""A25, A26: files of the agent, and its keys, that an application or the flash spoils. No cable is needed."""

import pytest

from device.virtual import flash as flashing
from tests.fakes.agents import make_agent
from tests.fakes.releases import FakeRelease, sign_desired
from tests.fakes.signing import Signer, root_key
from tests.integration.device.agent_orders import NEW, loader, order_agent
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import Bench
from tests.integration.device.expectations import NEXT
from tests.integration.device.parts import until
from tests.integration.device.test_rotation import publish, trust_of

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(120)]

FLASH_BYTES = 5 << 18  # three agents
TRUST, COPY = "kiln/trust.json", "kiln/trust.json.copy"
LAST = app("8.0.0")


def renewed(bench: Bench) -> FakeRelease:
    """The board runs an agent of a slot, confirmed, and is off."""
    agent = order_agent(bench, make_agent(NEW, counter=4))
    bench.board.printed("agent confirmed, counter 4")
    until(lambda: bench.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    bench.board.switch_off()
    bench.broker.reports.clear()
    bench.board.lines.clear()
    return agent


def garble(bench: Bench, name: str, content: bytes | None) -> None:
    path = f"kiln/agent/a/ota/{name}.mpy"
    if content is None:
        bench.board.spoil(path)
    else:
        bench.board.put({path: content})


@pytest.mark.parametrize("content", [b"no bytecode\n", b"", None], ids=["garbage", "empty", "gone"])
@pytest.mark.parametrize("name", ["__init__", "hal", "agent", "config", "start", "voice"])
def test_a26_an_agent_with_a_garbled_file_is_left_for_the_one_before(
    running: Bench, name: str, content: bytes | None
) -> None:
    """What MicroPython finds garbled itself. It does not look at bytecode: docs/security.md."""
    renewed(running)
    garble(running, name, content)

    running.board.switch_on()

    running.board.printed("app 5.0.0")
    assert running.board.printed("] agent a left:") == 1
    assert loader(running)["trial"] is None


def test_a26_so_it_is_when_what_looks_for_the_damage_is_garbled_too(running: Bench) -> None:
    renewed(running)
    garble(running, "agent", b"no bytecode\n")
    garble(running, "failure", b"no bytecode\n")

    running.board.switch_on()

    running.board.printed("app 5.0.0")
    assert running.board.printed("] agent a left:") == 1


def test_a26_the_agent_that_was_left_comes_again(running: Bench) -> None:
    renewed(running)
    garble(running, "agent", b"no bytecode\n")

    running.board.switch_on()

    assert "agent.mpy" in running.broker.reported("rolled_back", "agent_failed")["detail"]
    running.board.printed("agent confirmed, counter 4")
    assert loader(running)["active"] == "a"


@pytest.mark.parametrize("fault", ["import nothing_of_that_name\n", "raise ValueError('incompatible .mpy file')\n"])
def test_a25_an_application_without_identity_does_not_make_the_loader_leave_a_good_agent(
    running: Bench, fault: str
) -> None:
    body = "import os\nif 'device.json' not in os.listdir('/kiln'):\n    " + fault
    second = running.desire(app("6.0.0", body + LOOP), seq=2)
    running.broker.reported("confirmed", release=second.digest)
    until(lambda: running.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    running.broker.desire(b"")  # it asks for no configuration
    renewed(running)
    kept = loader(running)
    running.board.spoil("kiln/device.json")

    running.board.switch_on()

    running.board.printed("no agent:", times=2)
    assert loader(running) == kept
    assert running.board.printed("the new agent", times=2) >= 2


def test_a26_an_order_that_waits_without_an_identity_holds_nobody_up(running: Bench) -> None:
    running.board.switch_off()
    running.board.put({"kiln/order.3": b"0\n" + sign_desired(NEXT, seq=2)})
    running.board.spoil("kiln/device.json")
    running.board.lines.clear()

    running.board.switch_on()

    running.board.printed("no agent:")
    assert running.board.printed("app 5.0.0") == 1


def test_a25_without_its_keys_a_board_believes_their_copy(running: Bench) -> None:
    keys = trust_of(running)
    bad = app("6.0.0", "import os\nos.remove('/kiln/trust.json')\nprint('took them')\n" + LOOP)
    running.desire(bad, seq=2)
    running.broker.reported("confirmed", release=bad.digest)

    after = running.desire(app("8.0.0"), seq=3)

    assert running.broker.reported("confirmed", release=after.digest)["root"] == 1
    assert running.board.printed("took them") == 1
    assert trust_of(running) == keys


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"release": '], ids=["empty", "torn", "a list", "cut"])
def test_a26_spoilt_keys_are_made_anew_from_their_copy(running: Bench, content: bytes) -> None:
    running.board.switch_off()
    keys = trust_of(running)
    assert flashing.cat(running.board.flash, COPY) == keys
    running.board.put({TRUST: content})
    running.board.switch_on()
    running.desire(NEXT, seq=2)

    running.broker.reported("confirmed", release=NEXT.digest)

    assert trust_of(running) == keys


def test_a17_the_copy_brings_no_key_back_that_was_revoked(running: Bench) -> None:
    director = Signer()
    publish(running, 2, [root_key()], director=[director])
    running.store.director = director
    running.store.add(NEXT)
    running.broker.desire(sign_desired(NEXT, seq=2, key=director))
    running.broker.reported("confirmed", release=NEXT.digest)
    until(lambda: running.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    running.board.switch_off()
    assert flashing.cat(running.board.flash, COPY) == trust_of(running)
    running.board.spoil(TRUST)
    running.broker.reports.clear()
    running.store.add(LAST)

    running.board.switch_on()
    running.broker.desire(sign_desired(LAST, seq=3))  # by the key from before

    assert running.broker.reported("refused", "bad_signature")["running"] == NEXT.digest
    running.broker.desire(sign_desired(LAST, seq=3, key=director))
    assert running.broker.reported("confirmed", release=LAST.digest)["root"] == 2
