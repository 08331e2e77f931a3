"""The same suite with each forge."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.contract.sign_in_stage import World
from tests.fakes.site import BASE, Site
from tests.servers import free_port, http_server
from tests.simulators.oauth import OAuthForge


@pytest.fixture(scope="module", params=["github", "gitlab"])
def server(request: pytest.FixtureRequest) -> Iterator[OAuthForge]:
    port = free_port()
    forge = OAuthForge(request.param, port, f"{BASE}/login/{request.param}:127.0.0.1:{port}/callback")
    with http_server(forge.app(), port):
        yield forge


@pytest.fixture
def world(server: OAuthForge, tmp_path: pathlib.Path) -> Iterator[World]:
    server.forget()
    server.person(583231, "octocat")
    kind, host = server.kind, f"127.0.0.1:{server.port}"
    settings = {f"{kind}_oauth_id": "client-1", f"{kind}_oauth_secret": "secret-1", f"{kind}_url": f"http://{host}"}
    site = Site.make(tmp_path, **settings)
    yield World(site, server, f"{kind}:{host}")
    site.close()
