"""What one service process is made of: the real adapters behind the ports, chosen by the settings."""

import importlib.metadata
from dataclasses import dataclass, field

import sqlalchemy as sa

from runners.contract.manifest import Manifest
from service import brokers, workflows
from service.adapters.access import AccessDesk, Fetching, leave_of
from service.adapters.agents import DatabaseAgents
from service.adapters.audit import DatabaseAudit
from service.adapters.authorities import read_authorities
from service.adapters.bell import Bell
from service.adapters.boards import Boards
from service.adapters.builds import DatabaseBuilds
from service.adapters.channels import DatabaseChannels
from service.adapters.clock import SystemClock
from service.adapters.crowd import DatabaseCrowd
from service.adapters.database import open_database
from service.adapters.dependencies import DatabaseDependencies
from service.adapters.fleet import DatabaseFleet
from service.adapters.forges.forge_apis import ForgeApis
from service.adapters.git import GitSources
from service.adapters.history import DatabaseHistory
from service.adapters.instance import Instance, load_instance
from service.adapters.inventory import DatabaseInventory
from service.adapters.keys import FileKeys
from service.adapters.logs import FileLogs
from service.adapters.marks import DatabaseMarks
from service.adapters.oauth import OAuthSignIn
from service.adapters.objects_local import LocalObjects
from service.adapters.packs import DatabasePacks
from service.adapters.people import DatabasePeople
from service.adapters.repositories import DatabaseRepositories
from service.adapters.rollouts import DatabaseRollouts
from service.adapters.sealed import Sealed
from service.adapters.sealing_keys import SealingKeys
from service.adapters.tokens import JwtApiTokens, JwtTokens
from service.domain.build import BuildId
from service.domain.person import Door
from service.domain.repository import Forge
from service.flows.credentials import Change, Shown
from service.forge import Forges
from service.ports import Objects
from service.records import Connections
from service.settings import Settings

VERSION = importlib.metadata.version("kiln")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kiln:
    """Everything of one service process, built and not yet started."""

    settings: Settings
    instance: Instance
    engine: sa.Engine
    clock: SystemClock
    starter: workflows.Starter
    repositories: DatabaseRepositories
    builds: DatabaseBuilds
    channels: DatabaseChannels
    dependencies: DatabaseDependencies
    packs: DatabasePacks
    marks: DatabaseMarks
    forges: Forges
    fleet: DatabaseFleet
    inventory: DatabaseInventory
    sealed: Sealed
    agents: DatabaseAgents
    rollouts: DatabaseRollouts
    crowd: DatabaseCrowd
    audit: DatabaseAudit
    history: DatabaseHistory
    objects: Objects
    sources: GitSources
    fetching: Fetching
    keys: FileKeys
    logs: FileLogs
    tokens: JwtTokens
    api_tokens: JwtApiTokens
    people: DatabasePeople
    sign_in: OAuthSignIn
    broker: brokers.Chosen
    boards: Boards
    shown: Shown = field(default_factory=Shown)
    manifests: dict[BuildId, Manifest] = field(default_factory=dict)  # that were read (`service.declared`)
    told: Bell = field(default_factory=Bell)  # notices are in the outbox
    withdrawn: Bell = field(default_factory=Bell)  # devices may have to be told of another release
    stirred: Bell = field(default_factory=Bell)  # roll-outs may have something to do


def build(settings: Settings, *, durable: bool = True) -> Kiln:  # durable as `open_database` has it
    clock, instance, authorities = SystemClock(), load_instance(settings.data), read_authorities(settings.source_ca)
    workflows.prepare(engine := open_database(settings.database, durable=durable))
    sealed = Sealed.over(engine, SealingKeys(uri=settings.sealing_key, data=settings.data))
    starter, forges = workflows.Starter(engine, clock), ForgeApis(sealed.connections, clock)
    repositories, builds = DatabaseRepositories(engine), DatabaseBuilds(engine, start=starter)
    leave, objects = leave_of(forges.api, sealed.connections.get), _objects(settings, instance, clock)
    return Kiln(
        settings=settings,
        instance=instance,
        engine=engine,
        clock=clock,
        starter=starter,
        repositories=repositories,
        builds=builds,
        channels=DatabaseChannels(engine),
        dependencies=DatabaseDependencies(engine),
        packs=DatabasePacks(engine),
        marks=DatabaseMarks(engine),
        forges=forges,
        fleet=DatabaseFleet(engine),
        inventory=DatabaseInventory(engine),
        sealed=sealed,
        agents=DatabaseAgents(engine),
        rollouts=DatabaseRollouts(engine),
        crowd=DatabaseCrowd(engine),
        audit=DatabaseAudit(engine),
        history=DatabaseHistory(engine),
        objects=objects,
        sources=GitSources(settings.data / "git", leave=leave, authorities=authorities),
        fetching=Fetching(AccessDesk(repositories=repositories, builds=builds, leave=leave), authorities),
        keys=FileKeys(settings.data / "keys"),
        logs=FileLogs(settings.data / "logs"),
        tokens=JwtTokens(instance.key, clock),
        api_tokens=JwtApiTokens(instance.key, clock, instance=instance.id),
        people=DatabasePeople(engine),
        sign_in=OAuthSignIn(lambda: doors(settings, sealed.connections)),
        broker=brokers.choose(settings, instance, clock),
        boards=Boards.load(objects, firmware=settings.firmware_folder, own_images=settings.own_images),
    )


def token_change(kiln: Kiln) -> Change:
    return Change(
        fleet=kiln.fleet,
        configurations=kiln.sealed.configurations,
        accounts=kiln.broker.accounts,
        clock=kiln.clock,
        shown=kiln.shown,
    )


def doors(settings: Settings, connections: Connections) -> list[Door]:
    """Where people sign in: the settings' OAuth applications, then every GitHub App that we have."""
    found = []
    for forge in (Forge.GITHUB, Forge.GITLAB):
        name = forge.value
        client, secret = getattr(settings, f"{name}_oauth_id"), getattr(settings, f"{name}_oauth_secret")
        scheme, _, host = getattr(settings, f"{name}_url").rstrip("/").partition("://")
        if client:
            found.append(Door(forge=forge, host=host, scheme=scheme, client_id=client, client_secret=secret))
    for each in connections.all():
        if each.is_app and each.client_id and each.client_secret:
            app = {"client_id": each.client_id, "client_secret": each.client_secret}
            found.append(Door(forge=each.forge, host=each.host, scheme=each.scheme, **app))
    return found


def _objects(settings: Settings, instance: Instance, clock: SystemClock) -> Objects:
    if settings.objects == "s3":
        from service.adapters.objects_s3 import S3Objects  # noqa: PLC0415  # boto3 is a third of a start

        return S3Objects(
            endpoint=settings.s3_endpoint,
            bucket=settings.s3_bucket,
            key=settings.s3_key,
            secret=settings.s3_secret,
            region=settings.s3_region,
        )
    return LocalObjects(settings.data / "objects", base_url=settings.url, key=instance.key, clock=clock)
