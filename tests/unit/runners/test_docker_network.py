"""Networks where an engine has few: which are used again, which make room, which are left alone."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from runners.docker_network import NAME_HEX, PREFIX, Networks


class NoAddressError(Exception):
    """As Docker's "could not find an available, non-overlapping IPv4 address pool"."""


@dataclass
class FewNetworks:
    """What of Docker's API is used here; real Docker is in tests/integration/source/test_network.py."""

    room: int
    runners: dict[str, str] = field(default_factory=dict)  # network -> runner
    busy: set[str] = field(default_factory=set)  # networks with a running container

    def networks(
        self, *, names: list[str] | None = None, filters: dict[str, str] | None = None
    ) -> list[dict[str, Any]]:
        wanted = (filters or {}).get("label", "").removeprefix("kiln.runner").removeprefix("=")
        return [{"Name": n} for n, who in self.runners.items() if wanted in {"", who} and (not names or n in names)]

    def inspect_network(self, name: str) -> dict[str, Any]:
        return {"Containers": {"x": {}} if name in self.busy else {}}

    def create_network(self, name: str, *, labels: dict[str, str], **_: object) -> None:
        if len(self.runners) >= self.room:
            raise NoAddressError
        self.runners[name] = labels["kiln.runner"]

    def remove_network(self, name: str) -> None:
        if name in self.busy or name not in self.runners:
            raise NoAddressError
        del self.runners[name]


def test_a_name_is_short_enough_for_an_interface() -> None:
    api = FewNetworks(room=1)

    name = Networks(api, (NoAddressError,)).take("r")

    assert name.startswith(PREFIX)
    assert len(name) == len(PREFIX) + NAME_HEX == 15


def test_when_addresses_are_used_up_the_unused_make_room() -> None:
    api = FewNetworks(room=4, runners={"kiln-1": "dead", "kiln-2": "dead", "kiln-3": "other"}, busy={"kiln-3"})
    networks = Networks(api, (NoAddressError,))

    first, second, third = (networks.take("r") for _ in range(3))

    assert set(api.runners) == {"kiln-3", first, second, third}
    with pytest.raises(NoAddressError):  # one is another's, three are ours and in use
        networks.take("r")
    assert set(api.runners) == {"kiln-3", first, second, third}


def test_what_could_not_be_made_is_forgotten_and_a_later_one_is_made() -> None:
    api = FewNetworks(room=1, runners={"kiln-1": "other"}, busy={"kiln-1"})
    networks = Networks(api, (NoAddressError,))
    with pytest.raises(NoAddressError):
        networks.take("r")
    api.busy.clear()

    name = networks.take("r")

    assert api.runners == {name: "r"}
    networks.put("container", name)
    networks.free("container")
    networks.free("container")
    assert networks.take("r") == name
    networks.give_up(name)
    networks.close()
    assert api.runners == {}


def test_a_network_of_a_dead_predecessor_is_used_again_unless_a_container_is_on_it() -> None:
    api = FewNetworks(room=9, runners={"kiln-1": "r", "kiln-2": "r", "kiln-3": "another"}, busy={"kiln-2"})
    networks = Networks(api, (NoAddressError,))

    assert networks.take("r") == "kiln-1"
    networks.remove_abandoned("r")
    assert set(api.runners) == {"kiln-1", "kiln-2", "kiln-3"}
    api.busy.clear()
    networks.remove_abandoned("r")

    assert set(api.runners) == {"kiln-1", "kiln-3"}
