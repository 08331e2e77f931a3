"""A site with a release in object storage, base firmware for two boards, and devices that are to run it."""

import io
import json
import pathlib
import stat
import zipfile
from dataclasses import dataclass
from typing import Any

from service import rolling
from service.domain import bundle
from service.domain.audit import Deed
from service.domain.build import Build
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.rights import Role
from service.flows import rollouts
from tests.fakes import firmware
from tests.fakes.asgi import Reply
from tests.fakes.devices import Device, DeviceSite
from tests.fakes.site import Browser, Site
from tests.unit.service.test_flash import ESP_FILE, MANIFEST, PICO_FILE, built, put

FILES = {"main.py": b"print(1)\n", "lib/net.mpy": b"M\x06\x00\x1f", "empty.txt": b""}
SCHEMA = """
[settings.WIFI_SSID]
[settings.WIFI_PASSWORD]
type = "secret"
[settings.PERIOD_S]
type = "integer"
default = 60
"""
PASSWORD = "correct horse battery staple"


@dataclass
class Stage:
    devices: DeviceSite
    owner: Browser
    viewer: Browser

    @classmethod
    def over(cls, folder: pathlib.Path, **settings: Any) -> "Stage":
        site = Site.make(folder, **settings)
        site.follow("acme/secret")
        for name, board in ((ESP_FILE, "esp32-generic"), (PICO_FILE, "rpi-pico-w")):
            content = firmware.firmware_for(board)
            put(folder, firmware.listed(name, content, board=board), **{name: content})
        devices = DeviceSite.over(site)
        owner = site.browser().sign_in_as(site.user(1, "ann", secret=Role.OWNER))
        return cls(devices, owner, site.browser().sign_in_as(site.user(2, "bob", secret=Role.VIEWER)))

    @property
    def site(self) -> Site:
        return self.devices.site

    def release(self, *boards: str, files: dict[str, bytes] = FILES) -> Build:
        """A build of the repository, released to beta with its bundles in storage."""
        build = built(self.site, "secret", files, MANIFEST.replace("8M", "4M") + SCHEMA)
        signed = [self._signed(build, board, files) for board in boards]
        made = Release(
            build=build.id,
            repository=build.repository,
            name="secret",
            version=f"1.2.{build.number}",
            counter=build.number,
            channel="beta",
            created_at=self.site.kiln.clock.now(),
        )
        self.site.kiln.builds.add_release(made, signed, [])
        return build

    def announce(self, build: Build) -> None:
        kiln = self.site.kiln
        rollouts.begin(build.id, rolling.parts(kiln))

    def _signed(self, build: Build, board: str, files: dict[str, bytes]) -> Bundle:
        listing = [bundle.file(*each) for each in files.items()]
        index = bundle.index(listing)
        said = bundle.Statement(
            repo=build.repository,
            name="secret",
            commit=build.commit,
            version=f"1.2.{build.number}",
            counter=build.number,
            board=board,
            mpy=6,
            arch=0,
            index=index,
        )
        statement = self.site.kiln.keys.sign("release", said.payload())
        stored = self.site.kiln.objects.put(bundle.pack(statement, index, listing))
        return Bundle(
            digest=ReleaseDigest(bundle.release_digest(statement)),
            build=build.id,
            board=board,
            statement=statement,
            object_digest=stored.digest,
            size_bytes=stored.size_bytes,
        )

    def enrol(self, name: str, board: str, **settings: Any) -> Device:
        made = self.devices.enrol(self.owner, name, self.site.of("secret"), board=board)
        if settings:
            path = f"/api/v1/devices/{name}/settings"
            assert self.owner.send("PATCH", path, json={"values": settings}).status == 202
        return made

    def made(self) -> list[Deed]:
        """What is written down of archives and images, oldest first."""
        deeds = [each.deed for each in reversed(self.site.kiln.audit.entries())]
        return [each for each in deeds if each.what in ("archive.made", "flash.made")]

    def archive(self, name: str) -> "Unpacked":
        return Unpacked.of(self.owner.get(f"/api/v1/devices/{name}/archive"))


@dataclass
class Unpacked:
    names: list[str]  # in the order of the archive
    files: dict[str, bytes]
    modes: dict[str, int]

    @classmethod
    def of(cls, reply: Reply) -> "Unpacked":
        assert reply.status == 200, reply.body
        with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
            assert archive.testzip() is None
            infos = archive.infolist()
            return cls(
                names=[each.filename for each in infos],
                files={each.filename: archive.read(each) for each in infos},
                modes={each.filename: stat.S_IMODE(each.external_attr >> 16) for each in infos},
            )

    def json(self, name: str) -> Any:
        return json.loads(self.files[name])
