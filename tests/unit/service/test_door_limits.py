"""The webhook door under bodies that are too large, too slow, packed or cut off."""

import asyncio
import gzip
import itertools

import pytest

from service.ports import MAX_DELIVERY_BYTES
from service.web import webhooks
from tests.fakes.asgi import LEAVE, STALL, ask
from tests.fakes.door import HELLO, World, github_headers, post, refusal, sample, signed

PUSH = sample("github/push.branch-created")


@pytest.fixture
def world() -> World:
    return World()


def test_a_declared_length_over_the_limit_is_refused_unread(world: World) -> None:
    body = itertools.repeat(b" " * (1 << 20), 30)

    reply = post(world, HELLO, {**signed(PUSH), "Content-Length": str(30 << 20)}, body)

    assert refusal(world, reply) == (413, f"a delivery is at most {MAX_DELIVERY_BYTES} bytes")
    assert reply.pieces_read == 0


def test_an_endless_body_is_refused_at_the_limit(world: World) -> None:
    reply = post(world, HELLO, signed(PUSH), itertools.repeat(b" " * (1 << 20)))

    assert refusal(world, reply)[0] == 413
    assert reply.pieces_read == 26


def test_a_body_longer_than_it_said_is_refused_at_the_limit(world: World) -> None:
    reply = post(world, HELLO, {**signed(PUSH), "Content-Length": "10"}, itertools.repeat(b" " * (1 << 20)))

    assert refusal(world, reply)[0] == 413


@pytest.mark.parametrize("length", ["-1", "abc", "", "1_0", "²", "9" * 5000])
def test_an_odd_content_length_is_refused(world: World, length: str) -> None:
    status, _ = refusal(world, post(world, HELLO, {**signed(PUSH), "Content-Length": length}, PUSH))

    assert status in {400, 413}


def test_a_large_delivery_is_taken(world: World) -> None:
    body = PUSH.replace(b"Initial commit", b"x" * (3 << 20))

    assert post(world, HELLO, signed(body), body).status == 202


def test_only_so_many_large_bodies_are_held_at_a_time() -> None:
    world = World(read_timeout_s=2.0)
    large = PUSH.replace(b"Initial commit", b"x" * webhooks.LARGE_BODY_BYTES)

    async def send(body: bytes | list[bytes], signed_body: bytes, delivery: str) -> int:
        headers = github_headers(signed_body, delivery=delivery)
        return (await ask(world.app, "POST", HELLO, headers=headers, body=body)).status

    async def crowd() -> None:
        endless = [
            asyncio.create_task(send([large[:-1], STALL], large, "endless")) for _ in range(webhooks.MAX_LARGE_BODIES)
        ]
        await asyncio.sleep(0)
        waiting = asyncio.create_task(send(large, large, "waiting"))

        assert await send(PUSH, PUSH, "small") == 202
        await asyncio.sleep(0.05)
        assert not waiting.done()

        assert [await each for each in endless] == [408] * webhooks.MAX_LARGE_BODIES
        assert await waiting in {202, 408}  # its own time ends when theirs does
        assert await send(large, large, "later") == 202

    asyncio.run(crowd())


def test_a_slow_body_ends_with_408() -> None:
    world = World(read_timeout_s=0.02)

    reply = post(world, HELLO, signed(PUSH), [PUSH[:10], STALL])

    assert refusal(world, reply) == (408, "the body did not arrive in 0.02 s")
    assert reply.headers["connection"] == "close"


def test_a_sender_that_leaves_is_no_failure(world: World, caplog: pytest.LogCaptureFixture) -> None:
    reply = post(world, HELLO, signed(PUSH), [PUSH[:10], LEAVE])

    assert (reply.status, world.inbox.events, caplog.records) == (400, [], [])


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x" * 500])
def test_a_packed_body_is_refused_unread(world: World, encoding: str) -> None:
    packed = gzip.compress(PUSH)

    reply = post(world, HELLO, {**signed(packed), "Content-Encoding": encoding}, packed)

    assert refusal(world, reply) == (415, "send the body without Content-Encoding")
    assert reply.pieces_read == 0


def test_identity_is_no_packing(world: World) -> None:
    assert post(world, HELLO, {**signed(PUSH), "Content-Encoding": "Identity"}, PUSH).status == 202
