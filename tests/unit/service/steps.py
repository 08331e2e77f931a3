"""The verbs with the surroundings of conftest, in the order of a build."""

import base64
import contextlib
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from runners.contract.download import Download
from runners.contract.job import Job, Limits
from service.adapters.boms import CycloneDx
from service.adapters.device_cipher import encrypt
from service.domain.build import BuildId, JobId
from service.domain.configuration import Schema
from service.domain.device import DeviceId, Report
from service.domain.provenance import Builder
from service.domain.root import Role
from service.flows import announce, dependencies, enrol, lead_back, plan, publish, rollouts, settle, track
from service.flows.credentials import Change, Shown
from service.flows.known import Channels
from service.flows.rollout_parts import Parts
from service.ports import BrokerAccounts
from tests.fakes.broker import MemoryAccounts
from tests.unit.service.conftest import BLINK, World

ALLOWED = dependencies.Allowed(hosts=("pi.example.org",))
BUILDER = Builder(id="http://kiln#kabc123", version="0.2")
FILES = {"main.py": b"print(1)\n", "net.mpy": b"M\x06\x00\x1f"}


def snapped(world: World, build: BuildId) -> None:
    """Its source is there, wherever it is from."""
    found = world.builds.build(build)
    if not found.source_digest:
        stored = world.objects.put(world.sources.fetch(world.repositories.get(found.repository), found.commit))
        world.builds.keep_source(build, digest=stored.digest, size_bytes=stored.size_bytes)


def planned(world: World, build: BuildId) -> list[Job]:
    snapped(world, build)
    jobs = looked_over(world, build)
    assert isinstance(jobs, list)
    return jobs


def looked_over(world: World, build: BuildId) -> list[Job] | Download | None:
    """None when the build is to be skipped."""
    return plan.plan(
        world.builds.build(build),
        repositories=world.repositories,
        builds=world.builds,
        objects=world.objects,
        catalogue=world.catalogue,
        instance="kabc123",
        limits=Limits(),
        addresses=plan.Addresses(
            log=lambda job: f"http://kiln/log/{job}", cache=lambda job: f"http://kiln/cache/{job}"
        ),
        compare=world.compare,
        take=lambda of, manifest: dependencies.take(
            of,
            manifest,
            known=world.locks,
            objects=world.objects,
            instance="kabc123",
            allowed=ALLOWED,
        ),
        own_images=world.own_images,
    )


def published(world: World, delivery: str, ref: str = "refs/heads/main") -> BuildId:
    build = world.push(delivery, ref)
    for job in planned(world, build):
        publish.collect(JobId(job.id), world.upload(job.id, FILES), builds=world.builds, objects=world.objects)
    publish_again(world, build)
    return build


def publish_again(world: World, build: BuildId) -> bool:
    return publish.publish(build, releasing(world))


def releasing(world: World) -> publish.Parts:
    return publish.Parts(
        repositories=world.repositories,
        builds=world.builds,
        channels=world.channels,
        objects=world.objects,
        keys=world.keys,
        boms=CycloneDx(version="0.2"),
        builder=BUILDER,
        limits=Limits(),
        catalogue=world.catalogue,
        clock=world.clock,
    )


def announced(world: World, build: BuildId, obstacle: announce.Obstacle = announce.nothing) -> int:
    """Its roll-out, or what is still to be done of it now."""
    return rollouts.begin(build, rolling(world, obstacle=obstacle))[1]


def rolling(world: World, **others: Any) -> Parts:
    given: dict[str, Any] = {
        "builds": world.builds,
        "channels": world.channels,
        "fleet": world.fleet,
        "rollouts": world.rollouts,
        "crowd": world.crowd,
        "keys": world.keys,
        "clock": world.clock,
        "obstacle": announce.nothing,
        "understand": lambda device, _release: device,
        "each": map,
        "announced": lambda: None,
        "stirred": lambda: None,
        "alone": contextlib.nullcontext(),
        "call_back": lead_back.call_back,
    }
    return Parts(**{**given, **others})


def enrolled(
    world: World,
    name: str = "d1",
    board: str = "unix",
    channel: str = "beta",
    accounts: BrokerAccounts | None = None,
    *,
    obstacle: announce.Obstacle = announce.nothing,
) -> enrol.Enrolled:
    wanted = enrol.Request(id=name, repository=BLINK.id, board=board, channel=channel)
    return enrol.enrol(wanted, enrolling(world, accounts, obstacle=obstacle), token="t" * 43, key=b"k" * 32)


def enrolling(
    world: World,
    accounts: BrokerAccounts | None = None,
    *,
    schema: Schema | None = None,
    obstacle: announce.Obstacle = announce.nothing,
    channels: Channels = lambda _repository, _wanted: None,
) -> enrol.Parts:
    return enrol.Parts(
        repositories=world.repositories,
        fleet=world.fleet,
        inventory=world.inventory,
        configurations=world.configurations,
        shared=world.shared,
        accounts=accounts or MemoryAccounts(),
        keys=world.keys,
        clock=world.clock,
        catalogue=world.catalogue,
        encrypt=encrypt,
        schema=lambda _device: schema or {},
        settle=lambda name: settled(world, name, obstacle),
        channels=channels,
    )


def settled(world: World, name: DeviceId, obstacle: announce.Obstacle = announce.nothing) -> bool:
    return settle.settle(name, rolling(world, obstacle=obstacle))


def token_change(world: World, accounts: BrokerAccounts | None = None, shown: Shown | None = None) -> Change:
    return Change(
        fleet=world.fleet,
        configurations=world.configurations,
        accounts=accounts or MemoryAccounts(),
        clock=world.clock,
        shown=shown or Shown(),
    )


def reported(world: World, name: str, payload: bytes, parts: Change | None = None) -> Report:
    taken = track.take_reports([(name, payload)], parts or token_change(world))
    for _, error in taken.refused:
        raise error
    settle.heard(taken.heard, rolling(world))
    return taken.heard[0][1]


def verified(world: World, role: Role, token: str) -> dict[str, Any]:
    """By PyJWT with the public key alone, as any other party would."""
    public = world.keys.public(role)
    key = RSAPublicNumbers(public.e, public.n).public_key()
    assert json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "==")) == {
        "alg": "RS256",
        "kid": public.kid,
    }
    return dict(json.loads(jwt.PyJWS().decode(token, key, algorithms=["RS256"])))
