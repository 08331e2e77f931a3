"""Flash images over the whole site: who gets them, of what, and what is said when they cannot be made."""

import asyncio
import dataclasses
import hashlib
import pathlib
import threading
from collections.abc import Iterator

import pytest

from runners import artifacts
from runners.contract.job import FILES_ARTIFACT, Options, Outcome, Result
from service.adapters import flash as adapter
from service.domain.build import Build, BuildJob, JobId, Status
from service.domain.errors import NotFoundError
from service.domain.first_install import NewBoard
from service.domain.flash import FlashFile
from service.domain.rights import Role
from tests.fakes import firmware
from tests.fakes.asgi import ask
from tests.fakes.site import ADMIN_TOKEN, BASE, Site, application
from tests.fakes.sources import FolderSources
from tests.unit.runners.flash import uf2_reader

ESP_FILE, PICO_FILE = "ESP32_GENERIC-20260101-v1.28.0.bin", "RPI_PICO_W-20260101-v1.28.0.uf2"
BOARDS = ("esp32-generic", "rpi-pico-w", "unix", "esp32-s3-generic", "pybv11")
MANIFEST = f'[firmware]\nboards = {list(BOARDS)}\n[boards.esp32-generic]\nflash = "8M"\n'
FILES = {"main.py": b"print(1)\n", "lib/net.mpy": b"M\x06\x00\x1f"}


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    made.follow("acme/open", public=True)
    made.follow("acme/secret")
    esp, pico = firmware.firmware_for("esp32-generic"), firmware.firmware_for("rpi-pico-w")
    put(tmp_path, firmware.listed(ESP_FILE, esp, board="esp32-generic"), **{ESP_FILE: esp})
    put(tmp_path, firmware.listed(PICO_FILE, pico, board="rpi-pico-w"), **{PICO_FILE: pico})
    yield made
    made.close()


def put(data: pathlib.Path, text: str, **files: bytes) -> None:
    """Into the operator's folder, the text at the list's end."""
    folder = data / "firmware"
    folder.mkdir(exist_ok=True)
    with (folder / "firmware.toml").open("a") as listing:
        listing.write(text)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def built(site: Site, name: str, files: dict[str, bytes] = FILES, manifest: str = MANIFEST) -> Build:
    """A build that ended well, with one job for each board."""
    kiln, build = site.kiln, site.build(site.of(name), f"delivery-{name}-{len(files)}")
    repository = site.of(name)
    source = kiln.objects.put(FolderSources({"kiln.toml": manifest.encode()}).fetch(repository, build.commit))
    kiln.builds.keep_source(build.id, digest=source.digest, size_bytes=source.size_bytes)
    packed = artifacts.pack(files)
    kiln.objects.put([packed])
    jobs = [
        BuildJob(id=JobId(f"{name}-{build.id}-{board}"), build=build.id, board=board, family="micropython")
        for board in BOARDS
        if board != "unix"
    ]
    kiln.builds.add_jobs(build.id, jobs)
    for job in kiln.builds.jobs(build.id):
        made = (artifacts.describe(FILES_ARTIFACT, packed),)
        kiln.builds.end_job(job.id, Result(job=job.id, outcome=Outcome.SUCCEEDED, artifacts=made))
    kiln.builds.end_build(build.id, Status.SUCCEEDED, "", now=kiln.clock.now())
    return kiln.builds.build(build.id)


def test_a_flash_image_is_served_whole_in_part_and_once(site: Site) -> None:
    here = f"/builds/{built(site, 'open').id}/esp32-generic/flash/esp32-generic-8M.bin"

    whole = site.browser().get(here)
    part = site.browser().get(here, Range="bytes=4096-4099")
    again = site.browser().get(here, **{"If-None-Match": whole.headers["etag"]})

    assert (whole.status, len(whole.body)) == (200, 8 << 20)
    assert whole.headers["etag"] == f'"{hashlib.sha256(whole.body).hexdigest()}"'
    assert whole.headers["cache-control"] == "private, no-cache"
    assert whole.headers["content-disposition"].endswith('-esp32-generic-8M.bin"')
    assert (part.status, part.body[:1], again.status) == (206, b"\xe9", 304)


def test_a_uf2_file_is_served(site: Site) -> None:
    reply = site.browser().get(f"/builds/{built(site, 'open').id}/rpi-pico-w/flash/rpi-pico-w-2M.uf2")

    assert reply.status == 200
    assert set(uf2_reader.read(reply.body)) == {0xE48BFF56}


def test_esp_web_tools_gets_a_manifest_and_its_parts(site: Site) -> None:
    here = f"/builds/{built(site, 'open').id}/esp32-generic/webflash"

    manifest = site.browser().get(f"{here}/manifest.json")
    parts = [(each, site.browser().get(f"{here}/{each['path']}")) for each in manifest.fields["builds"][0]["parts"]]

    assert manifest.headers["cache-control"] == "private, no-cache"
    assert manifest.fields["name"] == "open"
    assert manifest.fields["version"].startswith("0.0.1+")
    assert manifest.fields["builds"][0]["chipFamily"] == "ESP32"
    assert [each["offset"] for each, _ in parts] == [0x1000, 0x200000]
    for said, reply in parts:
        assert reply.status == 200
        assert reply.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert (len(reply.body), hashlib.sha256(reply.body).hexdigest()) == (said["size"], said["sha256"])


def test_equal_builds_have_equal_images_and_other_files_others(site: Site) -> None:
    builds = [built(site, "open"), built(site, "secret"), built(site, "open", {**FILES, "b.txt": b"2"})]

    admin = site.program(ADMIN_TOKEN)
    tags = [admin.get(f"/builds/{each.id}/rpi-pico-w/flash/rpi-pico-w-2M.uf2").headers["etag"] for each in builds]

    assert tags[0] == tags[1] != tags[2]


@pytest.mark.parametrize("what", ["flash/esp32-generic-8M.bin", "webflash/manifest.json", "webflash/0.bin"])
def test_a_private_repository_stays_private(site: Site, what: str) -> None:
    address = f"/builds/{built(site, 'secret').id}/esp32-generic/{what}"
    viewer = site.browser().sign_in_as(site.user(2, "bob", secret=Role.VIEWER))
    stranger = site.browser().sign_in_as(site.user(3, "eve"))

    assert viewer.get(address).status == (404 if what.endswith("/0.bin") else 200)
    for browser in (site.browser(), stranger):
        assert browser.get(address) == browser.get("/builds/999/esp32-generic/flash/x")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "esp32-s3-generic/flash/esp32-s3-generic-8M.bin",
            "put ESP32_GENERIC_S3-<date>-v1.28.<n>.bin into the firmware",
        ),
        ("unix/flash/unix.bin", "there is no flash image for unix"),
        ("pybv11/flash/pybv11.bin", "its file system is FAT"),
        ("rpi-pico-w/webflash/manifest.json", "rpi-pico-w-2M.uf2 is not flashed from a browser"),
        ("esp32-generic/flash/other.bin", "the flash image of this board is called esp32-generic-8M.bin"),
        ("esp32-generic/webflash/other.bin", "the flash image has no such part now"),
        ("esp32-c3-generic/flash/esp32-c3-generic.bin", "this build has no such board"),
    ],
)
def test_what_cannot_be_made_is_a_404_with_a_sentence(site: Site, target: str, said: str) -> None:
    reply = site.browser().get(f"/builds/{built(site, 'open').id}/{target}")

    assert reply.status == 404
    assert said in reply.fields["error"]


def test_base_firmware_that_comes_later_is_seen_and_a_changed_one_too(site: Site, tmp_path: pathlib.Path) -> None:
    build, name = built(site, "open"), "ESP32_GENERIC_S3-20260101-v1.28.0.bin"
    target = f"/builds/{build.id}/esp32-s3-generic/flash/esp32-s3-generic-8M.bin"
    content = firmware.firmware_for("esp32-s3-generic")
    before = site.browser().get(target)

    put(tmp_path, firmware.listed(name, content, board="esp32-s3-generic"), **{name: content})
    first = site.browser().get(target)
    put(tmp_path, "", **{name: content + b"\0"})
    changed = [site.browser().get(target) for _ in range(2)]

    assert (before.status, first.status) == (404, 200)
    # What was made of the listed file is still true; a new one could not be made.
    assert [each.status for each in changed] == [200, 200]
    site.kiln.boards.flash._kept.clear()
    refused = site.browser().get(target)
    assert refused.status == 404
    assert f"the base firmware {name} is refused: its sha256 is" in refused.fields["error"]


def test_the_page_of_a_build_shows_the_image_or_what_is_missing(site: Site) -> None:
    build = built(site, "open")

    page = site.browser().get(f"/builds/{build.id}").body.decode()

    assert f'href="/builds/{build.id}/esp32-generic/flash/esp32-generic-8M.bin"' in page
    assert f'href="/builds/{build.id}/esp32-generic/webflash/manifest.json"' in page
    assert f'href="/builds/{build.id}/rpi-pico-w/flash/rpi-pico-w-2M.uf2"' in page
    assert "rpi-pico-w/webflash" not in page
    assert "No flash image: no base firmware for esp32-s3-generic (flash 8M), MicroPython 1.28" in page
    assert page.count("No flash image") == 1


def test_programs_are_told_the_same(site: Site) -> None:
    build = built(site, "open")

    jobs = {each["board"]: each for each in site.browser().get(f"/api/v1/builds/{build.id}").fields["jobs"]}

    said = {board: (each["flash_url"], each["flash_missing"][:16]) for board, each in jobs.items()}
    here = f"{BASE}/builds/{build.id}"
    assert said == {
        "esp32-generic": (f"{here}/esp32-generic/flash/esp32-generic-8M.bin", ""),
        "rpi-pico-w": (f"{here}/rpi-pico-w/flash/rpi-pico-w-2M.uf2", ""),
        "esp32-s3-generic": (None, "no base firmware"),
        "pybv11": (None, ""),
        "unix": (None, ""),
    }


def test_a_build_that_failed_has_no_image(site: Site) -> None:
    build = site.build(site.of("open"))
    source = site.kiln.objects.put(FolderSources({"main.py": b""}).fetch(site.of("open"), build.commit))
    site.kiln.builds.keep_source(build.id, digest=source.digest, size_bytes=source.size_bytes)
    site.end(build, Status.FAILED)

    reply = site.browser().get(f"/builds/{build.id}/unix/flash/unix.bin")

    assert (reply.status, reply.fields["error"]) == (404, "this job made no files to flash")
    assert site.browser().get(f"/builds/{build.id}").status == 200


def test_a_manifest_that_is_not_read_any_more_says_so(site: Site) -> None:
    build = built(site, "open", manifest='[firmware]\nboards = ["esp32-genric"]')

    reply = site.browser().get(f"/builds/{build.id}/esp32-generic/flash/esp32-generic-8M.bin")

    assert reply.status == 404
    assert "this Kiln does not build this commit any more: kiln.toml line 2: unknown board" in reply.fields["error"]
    assert site.browser().get(f"/builds/{build.id}").status == 200


class SlowImages:
    """`service.ports.FlashImages` that makes nothing, and takes its time for it."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Semaphore(0), threading.Event()
        self.making, self.most = 0, 0
        self._lock = threading.Lock()

    def name(self, board: str, options: Options) -> str:
        return ""

    def make(self, board: str, options: Options, files: str, new: NewBoard | None) -> FlashFile:
        with self._lock:
            self.making += 1
            self.most = max(self.most, self.making)
        self.begun.release()
        self.go.wait(60)
        with self._lock:
            self.making -= 1
        raise NotFoundError("made nothing")


def test_few_images_are_made_at_once_and_the_site_answers_meanwhile(site: Site) -> None:
    build, images = built(site, "open"), SlowImages()
    boards = dataclasses.replace(site.kiln.boards, flash=images)  # type: ignore[arg-type]  # the same port
    app = application(dataclasses.replace(site.kiln, boards=boards))
    headers = [("Host", "kiln.example")]

    async def visit() -> list[int]:
        target = f"/builds/{build.id}/esp32-generic/flash/esp32-generic-8M.bin"
        waiting = [asyncio.create_task(ask(app, "GET", target, headers=headers)) for _ in range(60)]
        for _ in range(2):
            assert await asyncio.to_thread(images.begun.acquire, timeout=10)
        # More requests wait than there are threads to wait in: only if they wait elsewhere is this answered.
        other = await asyncio.wait_for(ask(app, "GET", f"/builds/{build.id}", headers=headers), timeout=5)
        assert not any(each.done() for each in waiting)
        images.go.set()
        return [other.status, *[each.status for each in await asyncio.gather(*waiting)]]

    assert asyncio.run(visit()) == [200] + [404] * 60
    assert images.most == 2


def test_images_that_are_kept_have_a_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "MAX_KEPT_BYTES", 9 << 20)
    here, browser = f"/builds/{built(site, 'open').id}", site.browser()

    replies = [
        browser.get(f"{here}/esp32-generic/flash/esp32-generic-8M.bin"),
        browser.get(f"{here}/rpi-pico-w/flash/rpi-pico-w-2M.uf2"),
    ]

    assert [each.status for each in replies] == [200, 200]
    assert [key[0] for key in site.kiln.boards.flash._kept] == ["rpi-pico-w"]
