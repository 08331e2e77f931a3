"""Keys that are revoked while a roll-out has its turn."""

import dataclasses
import threading
from collections.abc import Callable

import pytest

from service import rolling
from service.domain.build import BuildId
from service.domain.device import Device, DeviceId
from service.domain.release import Bundle
from service.domain.rollout_plan import AT_ONCE
from service.domain.root import Role, signer_of
from service.flows import publish, rollouts
from service.flows.rollout_parts import Ordered
from tests.contract.channel_stage import Channel, beta

__all__ = ["beta"]


def told_while(beta: Channel, build: BuildId, act: Callable[[], object]) -> None:
    """Orders are signed, then another thread does this, and then they are written."""
    other = threading.Thread(target=act)

    def each(sign: Callable[[Device], Ordered], devices: list[Device]) -> list[Ordered]:
        signed = [sign(each) for each in devices]
        if other.ident is None:
            other.start()
            other.join(timeout=2)
        return signed

    rollouts.begin(build, dataclasses.replace(rolling.parts(beta.site.kiln), each=each))
    other.join()


def unrolled(beta: Channel) -> BuildId:
    for name in ("d1", "d2"):
        beta.enrol(name)
    kiln = beta.site.kiln
    kiln.rollouts.set_plan(beta.repository.id, "beta", AT_ONCE)
    return beta.devices.release(beta.site.build(beta.repository, "push 1"), told=False).build


def revoked(beta: Channel, role: Role) -> None:
    kid = beta.site.kiln.keys.public(role).kid
    reply = beta.admin.send("POST", "/api/v1/keys/revoke", json={"kid": kid, "stolen": True})
    assert reply.status == 200, reply.body


def test_orders_that_were_signed_by_a_key_that_was_revoked_meanwhile_are_signed_anew(beta: Channel) -> None:
    build, keys = unrolled(beta), beta.site.kiln.keys
    old = keys.public("director").kid

    told_while(beta, build, lambda: revoked(beta, "director"))

    assert keys.public("director").kid != old
    notices = [beta.site.kiln.fleet.notice(DeviceId(name)) for name in ("d1", "d2")]
    assert [keys.root().holds("director", signer_of((each or b"").decode())) for each in notices] == [True, True]


def test_nobody_is_ordered_a_bundle_that_is_being_signed_anew(beta: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    build, kiln = unrolled(beta), beta.site.kiln

    def signed_anew(name: BuildId, _parts: publish.Parts) -> None:
        (old,) = kiln.builds.bundles(name)
        statement = kiln.keys.sign("release", b"another key would say the same in other bytes")
        new: Bundle = dataclasses.replace(old, digest=type(old.digest)("f" * 64), statement=statement)
        kiln.builds.sign_anew(name, [new], [])

    monkeypatch.setattr(publish, "publish_anew", signed_anew)

    told_while(beta, build, lambda: revoked(beta, "release"))

    assert [beta.ordered(name) for name in ("d1", "d2")] == [build, build]
