"""A site with devices that have orders, and what travels to and from them over HTTP."""

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any

from service import rolling
from service.domain import bundle
from service.domain.build import Build
from service.domain.device import DeviceId
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.repository import Repository
from service.domain.rollout_plan import AT_ONCE, Plan
from service.flows import rollouts
from tests.fakes.asgi import Reply
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.fakes.site import Browser, Site, application


@dataclass
class Device:
    """As a board asks: with what enrolment gave it."""

    site: Site
    file: dict[str, Any]
    trust: dict[str, Any]

    @property
    def id(self) -> DeviceId:
        return DeviceId(self.file["id"])

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.file['token']}", "X-Kiln-Device": self.id}

    def ask(self, path: str, *, of: str = "", method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        """Something under its own address, or under that of another."""
        who = Browser(self.site, origin=None, headers={**self.headers, **headers})
        return who.send(method, f"/ota/v1/devices/{of or self.id}/{path}", body=body)

    def fetch(self, target: str) -> Reply:
        return Browser(self.site, origin=None, headers=self.headers).get(target)


@dataclass
class DeviceSite:
    """`site` with a broker in memory."""

    site: Site
    broker: MemoryBroker
    accounts: MemoryAccounts

    @classmethod
    def over(cls, site: Site) -> "DeviceSite":
        broker, accounts = MemoryBroker(), MemoryAccounts()
        parts: dict[str, Any] = {"link": broker, "accounts": accounts}  # other adapters of the same ports
        site.kiln = dataclasses.replace(site.kiln, broker=dataclasses.replace(site.kiln.broker, **parts))
        site.app = application(site.kiln)
        return cls(site, broker, accounts)

    def enrol(self, by: Browser, name: str, repository: Repository, *, board: str = "unix") -> Device:
        body = {"id": name, "repository": repository.id, "board": board}
        reply = by.send("POST", "/api/v1/devices", json=body)
        assert reply.status == 201, reply.body
        return Device(self.site, reply.fields["device"], reply.fields["trust"])

    def release(
        self,
        build: Build,
        content: bytes = b"print(1)\n",
        *,
        board: str = "unix",
        told: bool = True,
        plan: Plan | None = AT_ONCE,
    ) -> Bundle:
        """A signed release in channel beta, and its roll-out unless said otherwise."""
        kiln = self.site.kiln
        release = Release(
            build=build.id,
            repository=build.repository,
            name="blink",
            version=f"0.0.{build.number}",
            counter=build.number,
            channel="beta",
            created_at=kiln.clock.now(),
        )
        made = self._bundle(release, build.commit, board, [bundle.file("main.py", content)])
        kiln.builds.add_release(release, [made])
        if told:
            kiln.rollouts.set_plan(build.repository, "beta", plan)
            rollouts.begin(build.id, rolling.parts(kiln))
        return made

    def _bundle(self, release: Release, commit: str, board: str, files: list[bundle.File]) -> Bundle:
        """Signed and stored."""
        kiln, index = self.site.kiln, bundle.index(files)
        said = bundle.Statement(
            repo=release.repository,
            name=release.name,
            commit=commit,
            version=release.version,
            counter=release.counter,
            board=board,
            mpy=0,
            arch=0,
            index=index,
        )
        statement = kiln.keys.sign("release", said.payload())
        stored = kiln.objects.put(bundle.pack(statement, index, files))
        return Bundle(
            digest=ReleaseDigest(hashlib.sha256(statement.encode()).hexdigest()),
            build=release.build,
            board=board,
            statement=statement,
            object_digest=stored.digest,
            size_bytes=stored.size_bytes,
        )
