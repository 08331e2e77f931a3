"""The steps of a board's life in little memory, and what it prints about a want of it."""

from collections.abc import Callable, Iterable

from tests.fakes.agents import make_agent
from tests.fakes.configurations import make_configuration
from tests.integration.device.apps import app
from tests.integration.device.conftest import Bench


def install_by_bundle(bench: Bench) -> None:
    bench.board.make(size_bytes=1 << 20, agent=not bench.board.frozen)
    bench.board.switch_on()
    first = bench.desire(app("1.0.0"), seq=1)
    bench.broker.reported("confirmed", release=first.digest)


def update_by_pack(bench: Bench) -> None:
    second = app("2.0.0")
    bench.store.add_pack(app("1.0.0"), second)
    bench.desire(second, seq=2)
    bench.broker.reported("confirmed", release=second.digest)
    assert bench.store.asked_packs != []


def change_settings(bench: Bench) -> None:
    made = make_configuration({f"SETTING_{number}": "x" * 70 for number in range(8)}, key=None)
    bench.store.configurations[made.digest] = made.raw
    bench.desire(app("2.0.0"), seq=3, config=made.digest)
    bench.broker.reported("confirmed", config=made.digest)


def change_the_agent(bench: Bench) -> None:
    agent = bench.store.add(make_agent(counter=2))
    named = {"release": agent.digest, "size": len(agent.bundle), "counter": 2}
    made = make_configuration({}, key=None, agent=named)
    bench.store.configurations[made.digest] = made.raw
    bench.desire(app("2.0.0"), seq=4, config=made.digest)
    bench.board.printed("agent confirmed, counter 2")


STEPS: list[Callable[[Bench], None]] = [install_by_bundle, update_by_pack, change_settings, change_the_agent]


def live(bench: Bench, heap_kb: int, steps: Iterable[Callable[[Bench], None]] = STEPS) -> list[str]:
    """These steps; what the board printed about a want of memory."""
    bench.board.heapsize = f"{heap_kb}k"
    for step in steps:
        step(bench)
    return [line for line in bench.board.lines if "MemoryError" in line or "out of memory" in line]


def in_want(bench: Bench) -> list[str]:
    """What the board printed about too little heap, but for errands: those come again."""
    words = ("memory", "MemoryError", "no heap", "heap for")
    lines = [line for line in bench.board.lines if "errand:" not in line]
    return [line for line in lines if any(word in line for word in words)]
