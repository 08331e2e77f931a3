"""A hostile process in a container that has a network (rows 12 and 17): it reaches no other container.

What runs in these containers is git, and nothing of a repository. Here it is taken over all the same.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from runners.contract.job import Limits
from runners.contract.source import SOURCE_IMAGE
from runners.docker_container import DockerContainer
from runners.docker_engine import DockerEngine
from runners.engine import ContainerSpec
from service.adapters.clock import SystemClock

pytestmark = [pytest.mark.docker]

PORT = 4711
LISTEN = f"""
import socket
server = socket.create_server(("0.0.0.0", {PORT}))
while True:
    server.accept()[0].sendall(b"secret")
"""
# Connect to everything at once, and say what answers.
TRY = """
import asyncio, sys
async def one(host, port):
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 3)
        writer.close()
        print(host, port)
    except (OSError, asyncio.TimeoutError):
        pass
async def main():
    await asyncio.gather(*(one(*each.rsplit("/", 1)) for each in sys.stdin.read().split()))
asyncio.run(main())
"""


@dataclass
class Fetches:
    """Containers as a fetch has them, each waiting for its orders, with somebody else inside."""

    engine: DockerEngine
    runner: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")

    def spec(self, job: str) -> ContainerSpec:
        name = f"{self.runner}-{job}"
        return ContainerSpec(job=name, runner=self.runner, image=SOURCE_IMAGE, limits=Limits(), has_network=True)

    def start(self, job: str) -> DockerContainer:
        return self.engine.start(self.spec(job))

    def run(self, job: str, *command: str, stdin: str = "") -> str:
        words = ["docker", "exec", "-i", self.spec(job).name, *command]
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        assert not done.returncode, done.stderr
        return done.stdout

    def listen(self, job: str) -> None:
        words = ["docker", "exec", "-d", self.spec(job).name, "python3", "-c", LISTEN]
        subprocess.run(words, check=True, timeout=60)
        deadline = time.monotonic() + 60
        while not self.answers(job, ["127.0.0.1"]):
            assert time.monotonic() < deadline

    def answers(self, job: str, hosts: list[str], port: int = PORT) -> str:
        return self.run(job, "python3", "-c", TRY, stdin=" ".join(f"{each}/{port}" for each in hosts))

    def address(self, job: str) -> str:
        (network,) = inspect(self.spec(job).name)["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    def network(self, job: str) -> str:
        return str(inspect(self.spec(job).name)["HostConfig"]["NetworkMode"])

    def networks(self) -> list[str]:
        words = ["docker", "network", "ls", "-q", "--filter", f"label=kiln.runner={self.runner}"]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout.split()


def inspect(name: str) -> dict:  # type: ignore[type-arg]  # whatever Docker says
    done = subprocess.run(["docker", "inspect", name], check=True, capture_output=True, text=True, timeout=30)
    return json.loads(done.stdout)[0]  # type: ignore[no-any-return]


def neighbours(address: str) -> list[str]:
    return [f"{address.rpartition('.')[0]}.{last}" for last in range(1, 255)]


@contextlib.contextmanager
def fetching(runtime: str = "") -> Iterator[Fetches]:
    made = Fetches(DockerEngine.connect(now=SystemClock().now, runtime=runtime))
    yield made
    for job in made.engine.jobs(made.runner):
        made.engine.remove(job)
    made.engine.close()
    assert made.networks() == [], "a network was left behind"


@pytest.fixture
def fetches(runtime: str) -> Iterator[Fetches]:
    with fetching(runtime) as made:
        yield made


def test_two_fetches_at_once_do_not_reach_each_other_by_any_address(fetches: Fetches) -> None:
    with fetches.start("a"), fetches.start("b"):
        fetches.listen("b")
        own, other = fetches.address("a"), fetches.address("b")
        hosts = {*neighbours(own), *neighbours(other), *neighbours("172.17.0.1"), f"kiln-{fetches.runner}-b"}

        assert fetches.network("a") != fetches.network("b")
        assert fetches.answers("b", [other]) == f"{other} {PORT}\n"
        assert fetches.answers("a", sorted(hosts)) == ""


def test_names_are_still_resolved_and_there_is_no_ipv6(fetches: Fetches) -> None:
    with fetches.start("a"):
        name = f"kiln-{fetches.runner}-a"
        looked_up = f"import socket; print(socket.gethostbyname({name!r}))"

        assert fetches.run("a", "cat", "/etc/resolv.conf").count("nameserver 127.0.0.11") == 1
        assert fetches.run("a", "python3", "-c", looked_up).strip() == fetches.address("a")
        known = fetches.run("a", "sh", "-c", "cat /proc/net/if_inet6 || true").split("\n")
        assert {each.split()[0] for each in known if each} <= {f"{1:032x}"}  # ::1 alone
        assert fetches.answers("a", ["fd00:ec2::254"], 80) == ""


@pytest.fixture
def link_local() -> Iterator[tuple[str, int]]:
    """A service of this machine's network at a link-local address, as clouds have theirs."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs root, and ip: an address is given to this machine for a moment")
    address = "169.254.77.77"
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True, timeout=10)
    try:
        with socket.create_server((address, 0)) as server:
            yield address, server.getsockname()[1]
    finally:
        subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True, timeout=10)


def test_a_metadata_address_is_out_of_reach_by_the_rules_of_the_setup(
    fetches: Fetches, link_local: tuple[str, int]
) -> None:
    address, port = link_local
    with fetches.start("a"):
        gateway = fetches.address("a").rpartition(".")[0] + ".1"
        with socket.create_server((gateway, 0)) as open_to_it:
            reached = fetches.answers("a", [gateway], open_to_it.getsockname()[1])

        assert reached.startswith(gateway)  # this machine's other addresses are in reach
        assert fetches.answers("a", [address], port) == ""
        known = ["169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192"]
        assert fetches.answers("a", known, 80) == ""


def test_a_network_is_kept_for_the_next_fetch_and_never_shared() -> None:
    with fetching() as fetches:
        with fetches.start("a"):
            first = fetches.network("a")
        fetches.engine.jobs(fetches.runner)
        with fetches.start("b"), fetches.start("c"):
            assert fetches.network("b") == first
            assert fetches.network("c") != first


def test_a_network_that_somebody_tidied_away_is_made_anew() -> None:
    with fetching() as fetches:
        fetches.start("a").remove()
        fetches.engine.jobs(fetches.runner)
        subprocess.run(["docker", "network", "rm", *fetches.networks()], check=True, capture_output=True, timeout=30)

        with fetches.start("b"):
            assert fetches.network("b").startswith("kiln-")


def test_networks_of_a_dead_runner_are_used_again_or_removed() -> None:
    dead = Fetches(DockerEngine.connect(now=SystemClock().now))
    left = dead.start("a")
    dead.start("b").remove()
    dead.engine.jobs(dead.runner)
    assert len(dead.networks()) == 2

    successor = DockerEngine.connect(now=SystemClock().now)
    successor.remove_waiting(dead.runner)
    assert len(dead.networks()) == 1  # a container is on the other
    for job in successor.jobs(dead.runner):
        successor.remove(job)
    with successor.start(dead.spec("c")):
        assert len(dead.networks()) == 1
    successor.jobs(dead.runner)
    successor.close()
    assert dead.networks() == []
    left.remove()
    dead.engine.close()


def test_many_fetches_at_once_have_a_network_each() -> None:
    with fetching() as fetches:
        found: list[str] = []

        def one(job: str) -> None:
            with fetches.start(job):
                found.append(fetches.network(job))
                is_full.wait(60)

        is_full = threading.Barrier(5)
        threads = [threading.Thread(target=one, args=(f"j{number}",)) for number in range(4)]
        for each in threads:
            each.start()
        is_full.wait(60)
        for each in threads:
            each.join()
        assert len(set(found)) == 4
