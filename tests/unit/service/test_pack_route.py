"""What a device gets that asks for a pack: docs/ota.md, Fetch."""

import asyncio
import pathlib
import threading
from collections.abc import Iterator

import pytest

from service.adapters.schema_devices import devices
from service.domain.device import Device, DeviceId
from service.domain.errors import AlteredError, NotFoundError
from service.domain.pack import Kept
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.repository import Repository
from service.flows.enrol import token_digest
from service.web.packer import MAX_WAITING, Packer
from tests.fakes.asgi import Reply
from tests.fakes.packs import read, read_older, release_of
from tests.fakes.releases import FakeRelease, index_of
from tests.fakes.site import Browser, Site

MAIN = {"main.py": b"import app\n"}
LONG = b"".join(b"def f%d(x):\n    return x + %d\n" % (n, n * 7) for n in range(120))
ONE, TWO = {**MAIN, "app.py": LONG}, {**MAIN, "app.py": LONG[:-40] + b"# two\n"}
OLD, NEW = ReleaseDigest("a" * 64), ReleaseDigest("b" * 64)


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    yield made
    made.close()


def repository(site: Site, name: str = "blink") -> Repository:
    """With a device that has its name, and the token `t`."""
    followed = site.follow(f"acme/{name}")
    device = Device(
        id=DeviceId(name),
        repository=followed.id,
        board="unix",
        channel="stable",
        token_digest=token_digest("t"),
        created_at=site.kiln.clock.now(),
    )
    site.kiln.fleet.add_device(device)
    return followed


def release(site: Site, of: Repository, files: dict[str, bytes], delivery: str, board: str = "unix") -> FakeRelease:
    build = site.build(of, delivery)
    made = release_of(files)
    stored = site.kiln.objects.put([made.bundle])
    told = Bundle(
        digest=ReleaseDigest(made.digest),
        build=build.id,
        board=board,
        statement=made.statement.decode(),
        object_digest=stored.digest,
        size_bytes=stored.size_bytes,
    )
    now = site.kiln.clock.now()
    named = Release(
        build=build.id, repository=of.id, name="x", version="1", counter=build.number, channel=None, created_at=now
    )
    site.kiln.builds.add_release(named, [told])
    return made


def ask(
    site: Site,
    newer: str,
    older: str,
    *,
    device: str = "blink",
    token: str = "t",
    ordered: str = "",
    way: str = "pack/2",
    **headers: str,
) -> Reply:
    """`ordered` is the release that the device is to run, if not `newer`."""
    with site.kiln.engine.begin() as connection:
        connection.execute(devices.update().where(devices.c.id == device).values(desired=ordered or newer))
    proof = {"Authorization": f"Bearer {token}", "X-Kiln-Device": device}
    target = f"/ota/v1/releases/{newer}/{way}?from={older}"
    return Browser(site, origin=None).send("GET", target, headers={**proof, **headers})


def test_a_device_gets_what_differs_and_can_resume_it(site: Site) -> None:
    blink = repository(site)
    one, two = release(site, blink, ONE, "one"), release(site, blink, TWO, "two")

    whole = ask(site, two.digest, one.digest)
    rest = ask(site, two.digest, one.digest, Range="bytes=100-")

    assert (whole.status, whole.headers["content-type"]) == (200, "application/vnd.kiln.pack")
    assert read(whole.body, ONE, index_of(ONE), one.statement).files == TWO
    assert (rest.status, rest.body) == (206, whole.body[100:])
    assert whole.headers["content-length"] == str(len(whole.body))
    assert len(whole.body) < len(two.bundle) / 4


def test_a_device_that_has_nothing_gets_all_of_it_deflated(site: Site) -> None:
    one = release(site, repository(site), ONE, "one")

    reply = ask(site, one.digest, "-")

    assert reply.status == 200
    assert read(reply.body, {}).files == ONE


def test_an_agent_from_before_gets_a_pack_that_it_reads(site: Site) -> None:
    blink = repository(site)
    one, two = release(site, blink, ONE, "one"), release(site, blink, TWO, "two")

    new, old = (ask(site, two.digest, one.digest, way=way) for way in ("pack/2", "pack"))
    again = ask(site, two.digest, one.digest, way="pack")

    assert (new.status, old.status, again.body) == (200, 200, old.body)
    assert read_older(old.body, ONE, index_of(ONE)).files == TWO
    assert read(new.body, ONE, index_of(ONE), one.statement).statement == two.statement
    assert ask(site, two.digest, one.digest, way="pack/3").status == 404


def test_a_pack_is_made_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    blink = repository(site)
    one, two = release(site, blink, ONE, "one"), release(site, blink, TWO, "two")
    first = ask(site, two.digest, one.digest)
    monkeypatch.setattr("service.flows.shorten.pack", None)

    assert ask(site, two.digest, one.digest).body == first.body


def test_a_pack_is_made_of_what_the_device_is_to_run_and_of_nothing_else(site: Site) -> None:
    """Of a thousand releases there are a million packs, and one token is enough to ask for each."""
    blink = repository(site)
    one, two = release(site, blink, ONE, "one"), release(site, blink, TWO, "two")

    replies = [ask(site, one.digest, older, ordered=two.digest) for older in (two.digest, one.digest, "-")]

    assert [each.status for each in replies] == [404, 404, 404]
    assert site.kiln.packs.find(ReleaseDigest(two.digest), ReleaseDigest(one.digest), 2) is None


def test_there_is_no_pack_where_the_bundle_is_not_larger(site: Site) -> None:
    blink = repository(site)
    one, tiny = release(site, blink, ONE, "one"), release(site, blink, {"main.py": b""}, "two")

    replies = [ask(site, tiny.digest, one.digest, way="pack") for _ in range(2)]

    assert [each.status for each in replies] == [404, 404]
    assert site.kiln.packs.find(ReleaseDigest(one.digest), ReleaseDigest(tiny.digest), 1) == Kept(
        digest="", size_bytes=0
    )


def test_nobody_gets_packs_of_another_repository(site: Site) -> None:
    blink, secret = repository(site), repository(site, "secret")
    one, two = release(site, blink, ONE, "one"), release(site, secret, TWO, "two")

    assert ask(site, two.digest, "-").status == 404
    assert ask(site, two.digest, one.digest).status == 404
    assert ask(site, one.digest, two.digest).status == 404
    assert ask(site, two.digest, "-", device="secret").status == 200
    assert ask(site, one.digest, "-", token="of nobody").status == 401
    assert ask(site, one.digest, "-", device="nobody").status == 401


@pytest.mark.parametrize("older", ["", "a" * 64, "x", "../../etc", "%00", "A" * 100_000])
def test_a_pack_from_what_was_never_released_is_not_found(site: Site, older: str) -> None:
    one = release(site, repository(site), ONE, "one")

    assert ask(site, one.digest, older).status == 404


def test_there_is_no_pack_from_one_board_to_another(site: Site) -> None:
    blink = repository(site)
    one, two = release(site, blink, ONE, "one"), release(site, blink, TWO, "two", board="rpi-pico")

    assert ask(site, two.digest, one.digest).status == 404


def test_a_bundle_that_was_altered_in_storage_makes_no_pack(site: Site, tmp_path: pathlib.Path) -> None:
    blink = repository(site)
    one, two = release(site, blink, ONE, "one"), release(site, blink, TWO, "two")
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.read_bytes() == one.bundle:
            path.chmod(0o600)
            path.write_bytes(one.bundle.replace(b"def", b"fed"))

    assert ask(site, two.digest, one.digest).status == 404
    assert ask(site, two.digest, "-").status == 200


class Workshop:
    """Makes one thing when it is told to; counts how often, and how many at once."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.made: list[tuple[str, str]] = []
        self.kept: dict[tuple[str, str], Kept] = {}
        self.at_work = self.most_at_work = 0
        self.error: Exception | None = None

    def make(self, older: ReleaseDigest, newer: ReleaseDigest, _version: int) -> Kept:
        self.made.append((older, newer))
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        self.may_go_on.wait(60)
        self.at_work -= 1
        if self.error is not None:
            raise self.error
        return self.kept.setdefault((older, newer), Kept(digest="d" * 64, size_bytes=1))

    def packer(self, wait_s: float = 10) -> Packer:
        return Packer(lambda older, newer, _version: self.kept.get((older, newer)), self.make, wait_s=wait_s)


def test_of_many_that_ask_at_once_one_makes_it() -> None:
    workshop = Workshop()

    async def many() -> set[str]:
        packer = workshop.packer()
        asked = [asyncio.create_task(packer.get(*pair)) for pair in [(OLD, NEW), (NEW, OLD)] * 100]
        asyncio.get_running_loop().call_later(0.1, workshop.may_go_on.set)
        return {each.digest for each in await asyncio.gather(*asked)}

    assert asyncio.run(many()) == {"d" * 64}
    assert sorted(workshop.made) == sorted([(OLD, NEW), (NEW, OLD)])  # which was asked for first, threads decide
    assert workshop.most_at_work == 1


def test_who_waits_too_long_takes_the_bundle_and_the_next_one_gets_the_pack() -> None:
    workshop = Workshop()

    async def impatient() -> str:
        packer = workshop.packer(wait_s=0.05)
        with pytest.raises(NotFoundError, match="being made"):
            await packer.get(OLD, NEW)
        workshop.may_go_on.set()
        return (await packer.get(OLD, NEW)).digest

    assert asyncio.run(impatient()) == "d" * 64
    assert len(workshop.made) == 1


def test_there_is_a_limit_to_what_waits_to_be_made() -> None:
    workshop = Workshop()

    async def flood() -> int:
        packer = workshop.packer()
        pairs = [(OLD, ReleaseDigest(f"{number:064x}")) for number in range(MAX_WAITING + 5)]
        asked = [asyncio.create_task(packer.get(*pair)) for pair in pairs]
        asyncio.get_running_loop().call_later(0.1, workshop.may_go_on.set)
        found = await asyncio.gather(*asked, return_exceptions=True)
        return sum(isinstance(each, NotFoundError) for each in found)

    assert asyncio.run(flood()) == 5
    assert len(workshop.made) == MAX_WAITING


def test_what_fails_is_tried_again_the_next_time() -> None:
    workshop = Workshop()
    workshop.may_go_on.set()

    async def twice() -> str:
        packer = workshop.packer()
        workshop.error = AlteredError("changed")
        with pytest.raises(NotFoundError):
            await packer.get(OLD, NEW)
        workshop.error = None
        return (await packer.get(OLD, NEW)).digest

    assert asyncio.run(twice()) == "d" * 64
    assert len(workshop.made) == 2


def test_a_withdrawn_release_is_served_to_nobody(site: Site) -> None:
    blink = repository(site)
    one, two = release(site, blink, ONE, "one"), release(site, blink, TWO, "two")
    build = site.kiln.builds.bundle(ReleaseDigest(two.digest)).build
    site.kiln.channels.withdraw(build, why="bricks boards", by="github/1", now=site.kiln.clock.now())
    proof = {"Authorization": "Bearer t", "X-Kiln-Device": "blink"}

    replies = [Browser(site, origin=None).get(f"/ota/v1/releases/{two.digest}/bundle", **proof)]
    replies += [ask(site, two.digest, older) for older in (one.digest, "-")]

    assert [each.status for each in replies] == [404] * 3
    assert {each.fields["error"] for each in replies} == {"this release was withdrawn"}
    assert Browser(site, origin=None).get(f"/ota/v1/releases/{one.digest}/bundle", **proof).status == 200
