"""The agent that this Kiln carries becomes a signed release, by the real compiler."""

import dataclasses
import hashlib
import pathlib

import pytest

from service.adapters.agents import DatabaseAgents, compiled, source_folder
from service.domain import bundle
from service.domain.agent import AgentRelease
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, ConflictError, NotFoundError
from service.domain.release import ReleaseDigest
from service.flows import agents, configure
from tests.fakes import prepared
from tests.unit.service.configuring import parts, told
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, enrolled, published, verified


def files(*names: str) -> list[bundle.File]:
    return [bundle.file(f"ota/{name}", b"M\x06\x00\x1f" + name.encode()) for name in names]


def released(world: World, made: list[bundle.File], version: str = "0.2.0") -> AgentRelease:
    return agents.release(
        agents=DatabaseAgents(world.fleet._engine),
        objects=world.objects,
        keys=world.keys,
        clock=world.clock,
        compiled=lambda: made,
        version=version,
    )


def test_the_carried_agent_compiles_to_the_same_bytes_each_time() -> None:
    first, second = compiled(), compiled()

    assert first == second
    assert [each.path for each in first] == [f"ota/{each.stem}.mpy" for each in sorted(source_folder().glob("*.py"))]
    assert all(each.content[:2] == b"M\x06" for each in first)  # bytecode of version 6
    assert all(each.content[2] >> 2 & 0xF == 0 for each in first)  # and no native code


def test_a_release_of_the_agent_is_a_bundle_that_says_so(world: World) -> None:
    carried = compiled()

    release = released(world, carried)

    said = verified(world, "release", release.statement)
    content = b"".join(world.objects.read(release.object_digest))
    index = bundle.listed(carried)
    names = ("type", "repo", "board", "mpy", "arch")
    assert [said[name] for name in names] == ["agent", "kiln/agent", "any", 6, 0]
    assert (said["counter"], said["version"], said["commit"]) == (1, "0.2.0", index.digest)
    assert len(release.statement) <= bundle.MAX_STATEMENT_BYTES
    assert release.digest == hashlib.sha256(release.statement.encode()).hexdigest()
    assert content == b"".join(bundle.pack(release.statement, index, carried))
    assert release.size_bytes == len(content)


def test_after_its_key_was_revoked_the_same_files_are_released_again(world: World, tmp_path: pathlib.Path) -> None:
    own = dataclasses.replace(world, keys=prepared.keys(tmp_path / "own-keys"))
    one = released(own, files("__init__.mpy"))
    own.keys.revoke(own.keys.public("release").kid, stolen=True)

    two = released(own, files("__init__.mpy"))

    assert (two.counter, two.index_digest) == (2, one.index_digest)
    assert verified(own, "release", two.statement)["counter"] == 2
    assert released(own, files("__init__.mpy")) == two


def test_equal_files_are_one_release_and_others_count_up(world: World) -> None:
    one = released(world, files("__init__.mpy"))
    again = released(world, list(reversed(files("__init__.mpy"))), "0.3.0")
    two = released(world, files("__init__.mpy", "net.mpy"))

    assert again == one
    assert (one.counter, two.counter) == (1, 2)
    records = DatabaseAgents(world.fleet._engine)
    assert records.newest() == two
    assert records.get(one.digest) == one
    with pytest.raises(NotFoundError):
        records.get(ReleaseDigest("0" * 64))
    with pytest.raises(ConflictError):
        records.add(two)


@pytest.mark.parametrize("path", ["ota/x.mpy", "main.mpy", "ota/a/__init__.mpy", "lib/ota_loader.mpy"])
def test_an_agent_without_its_beginning_or_with_more_is_not_released(world: World, path: str) -> None:
    with pytest.raises(BadInputError):
        released(world, [bundle.file(path, b"M\x06\x00\x1f")])
    with pytest.raises(BadInputError):
        released(world, [*files("__init__.mpy"), bundle.file("ota/../boot.py", b"")])


def test_a_device_is_told_of_a_release_in_its_configuration(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    release = released(world, files("__init__.mpy"))

    before = world.fleet.device(DeviceId("d1"))
    after = configure.agent(DeviceId("d1"), release, parts(world), by="ann")
    again = configure.agent(DeviceId("d1"), release, parts(world), by="ann")

    wanted = {"release": release.digest, "size": release.size_bytes, "counter": 1}
    assert told(world) == {"v": 1, "settings": {}, "agent": wanted}
    assert (after.seq, again.seq) == (before.seq + 1, before.seq + 1)
    assert after.desired == before.desired
