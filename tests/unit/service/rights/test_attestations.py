"""Provenance, bills of materials, bundles, sources and keys over the whole site: what is served, and to whom."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from service.domain.build import Build, Status
from service.domain.release import Attestation, AttestationKind, Bundle, Release, ReleaseDigest
from service.domain.repository import Repository
from service.web.auth import NOTHING
from tests.fakes.site import BASE, Browser, Site

KINDS = {"provenance.json": b'{"payload":"x"}', "unix/sbom.json": b'{"bomFormat":"CycloneDX"}'}


def released(site: Site, repository: Repository) -> tuple[Build, Bundle]:
    build = site.build(repository, f"of {repository.name}")
    now, put = site.kiln.clock.now(), site.kiln.objects.put
    source = put([b"the source"])
    site.kiln.builds.keep_source(build.id, digest=source.digest, size_bytes=source.size_bytes)
    stored = put([b"KILN1\n"])
    bundle = Bundle(
        digest=ReleaseDigest(f"{build.id:064x}"),
        build=build.id,
        board="unix",
        statement="a.b.c",
        object_digest=stored.digest,
        size_bytes=stored.size_bytes,
    )
    said = [
        Attestation(build=build.id, kind=kind, board=board, digest=put([content]).digest, size_bytes=1, created_at=now)
        for kind, board, content in (
            (AttestationKind.PROVENANCE, "", KINDS["provenance.json"]),
            (AttestationKind.SBOM, "unix", KINDS["unix/sbom.json"]),
        )
    ]
    fields = {"name": repository.name, "version": "1.0.0", "counter": build.number, "channel": None}
    release = Release(build=build.id, repository=repository.id, created_at=now, **fields)  # type: ignore[arg-type]
    site.kiln.builds.add_release(release, [bundle], said)
    site.end(build, Status.SUCCEEDED)
    return build, bundle


def test_what_is_said_of_a_public_release_is_for_everybody(site: Site) -> None:
    build, bundle = released(site, site.of("open"))
    anybody = site.browser()

    for name, content in KINDS.items():
        assert anybody.get(f"/builds/{build.id}/{name}").body == content
        assert anybody.get(f"/releases/{bundle.digest}/{name.rpartition('/')[2]}").body == content
    replies = {name: anybody.get(f"/builds/{build.id}/{name}").headers["content-type"] for name in KINDS}
    assert replies == {
        "provenance.json": "application/vnd.in-toto.provenance+dsse",
        "unix/sbom.json": "application/vnd.cyclonedx+json",
    }
    page = anybody.get(f"/builds/{build.id}").body.decode()
    assert f'href="/builds/{build.id}/provenance.json"' in page
    assert f'href="/builds/{build.id}/unix/sbom.json"' in page
    told = anybody.get(f"/api/v1/builds/{build.id}").fields["release"]
    assert anybody.get(told["provenance_url"].removeprefix(BASE)).body == KINDS["provenance.json"]
    assert anybody.get(told["bundles"][0]["sbom_url"].removeprefix(BASE)).body == KINDS["unix/sbom.json"]
    assert anybody.get(told["bundles"][0]["url"].removeprefix(BASE)).body == b"KILN1\n"


def test_the_source_is_for_those_who_may_build_it(site: Site, admin: Browser) -> None:
    build, bundle = released(site, site.of("open"))

    for address in (f"/builds/{build.id}/snapshot.tar", f"/releases/{bundle.digest}/snapshot.tar"):
        assert site.browser().get(address).status == 401
        assert admin.get(address).body == b"the source"


@pytest.mark.parametrize("name", ["provenance.json", "sbom.json", "snapshot.tar"])
def test_a_release_of_others_looks_like_none(site: Site, viewer: Browser, name: str) -> None:
    _, bundle = released(site, site.of("other"))

    for browser in (site.browser(), viewer):
        hidden, none = (browser.get(f"/releases/{each}/{name}") for each in (bundle.digest, "0" * 64))
        assert hidden == none
        assert (hidden.status, hidden.fields["error"]) == (404, NOTHING)


def test_a_build_without_a_release_says_that_nothing_is_kept(site: Site, admin: Browser) -> None:
    build = site.build(site.of("secret"))

    for name in (*KINDS, "unix/bundle.kiln", "snapshot.tar"):
        reply = admin.get(f"/builds/{build.id}/{name}")
        assert (reply.status, "build" in reply.fields["error"]) == (404, True)


def test_the_public_keys_are_served_and_nothing_else_of_them(site: Site) -> None:
    reply = site.browser().get("/keys.json")
    key = load_pem_public_key(site.browser().get("/keys/release.pem").body)

    assert all(
        set(each) == {"kid", "n", "e"} for role in ("release", "director", "root") for each in reply.fields[role]
    )
    assert isinstance(key, rsa.RSAPublicKey)
    assert f"{key.public_numbers().n:x}" == reply.fields["release"][0]["n"]
    assert json.loads(reply.body)["release"] == [site.kiln.keys.public("release").entry()]
