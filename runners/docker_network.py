"""Networks for containers that have one: a bridge for each of them, which no other container is on at the same time.

Making a bridge costs a fifth of a second, so one that is free again is kept for the next container. Two bridges of
Docker do not reach each other; docs/decisions/0015-sandbox.md has the reasons, and what that does not hold.
"""

import contextlib
import threading
import uuid
from typing import Any

Api = Any  # docker.APIClient, whose low-level calls have no types

PREFIX = "kiln-"  # of a network and of its interface: what a firewall of the machine can match
NAME_HEX = 10  # with the prefix 15 characters, the most that an interface's name may have
OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}


class Networks:
    """Those of one engine. Its callers translate what the SDK raises."""

    def __init__(self, api: Api, trouble: tuple[type[Exception], ...]) -> None:
        self._api = api
        self._trouble = trouble  # what the SDK raises
        self._lock = threading.Lock()
        self._free: list[str] = []
        self._held: set[str] = set()
        self._by_container: dict[str, str] = {}

    def take(self, runner: str) -> str:
        """A network that no container is on: a free one, one that a dead predecessor left, or a new one."""
        with self._lock:
            if not self._free:
                self._free += self._abandoned(runner)
            while self._free:
                name = self._free.pop()
                if self._is_there(name):
                    return name
                self._held.discard(name)  # whoever tidied up the machine took it for unused
            name = f"{PREFIX}{uuid.uuid4().hex[:NAME_HEX]}"
            self._held.add(name)
        try:
            self._make_with_room(name, runner)
        except BaseException:
            with self._lock:
                self._held.discard(name)
            raise
        return name

    def put(self, container: str, network: str) -> None:
        """Remember that the container of this id is on `network`, unless that is none of ours."""
        if network.startswith(PREFIX):
            with self._lock:
                self._held.add(network)
                self._by_container[container] = network

    def of(self, container: str) -> str:
        return str(self._api.inspect_container(container)["HostConfig"]["NetworkMode"])

    def free(self, container: str) -> None:
        """The container of this id is gone. Safe to call twice, and for one that had no network."""
        with self._lock:
            if network := self._by_container.pop(container, None):
                self._free.append(network)

    def give_up(self, network: str) -> None:
        """No container came to be on it."""
        with self._lock:
            self._free.append(network)

    def remove_abandoned(self, runner: str) -> None:
        """What a dead predecessor of this name left."""
        with self._lock:
            for each in self._abandoned(runner):
                self._held.discard(each)
                self._api.remove_network(each)

    def close(self) -> None:
        """Remove what is free. What cannot be removed is left to a later sweep."""
        with self._lock:
            while self._free:
                name = self._free.pop()
                self._held.discard(name)
                with contextlib.suppress(*self._trouble):
                    self._api.remove_network(name)

    def _abandoned(self, runner: str) -> list[str]:
        """Networks of this runner that we do not know and no container is on. They are ours from now on."""
        found = [each["Name"] for each in self._api.networks(filters={"label": f"kiln.runner={runner}"})]
        left = [name for name in found if name not in self._held and not self._api.inspect_network(name)["Containers"]]
        self._held.update(left)
        return left

    def _make_with_room(self, name: str, runner: str) -> None:
        try:
            self._make(name, runner)
        except self._trouble:
            with self._lock:
                has_room = self._make_room()
            if not has_room:
                raise
            self._make(name, runner)

    def _make_room(self) -> bool:
        """Whether there was something to remove. Docker has addresses for some thirty networks, all runners' together.

        Another runner's free one may be among them: it makes a new one then.
        """
        found = [each["Name"] for each in self._api.networks(filters={"label": "kiln.runner"})]
        unused = [each for each in found if each in self._free or each not in self._held]
        removed = 0
        for name in unused:
            with contextlib.suppress(*self._trouble):
                self._api.remove_network(name)  # refused while a container is on it
                removed += 1
                self._held.discard(name)
                if name in self._free:
                    self._free.remove(name)
        return removed > 0

    def _make(self, name: str, runner: str) -> None:
        self._api.create_network(
            name,
            driver="bridge",
            options={**OPTIONS, "com.docker.network.bridge.name": name},
            labels={"kiln.runner": runner},
            enable_ipv6=False,
        )

    def _is_there(self, name: str) -> bool:
        return any(each["Name"] == name for each in self._api.networks(names=[name]))
