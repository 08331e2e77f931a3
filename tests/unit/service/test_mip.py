"""The agent's mip package: public, whole, and never a mixture of two agents."""

import pathlib
from collections.abc import Iterator

import pytest

from service.adapters.agents import compiled, compiled_loader
from service.domain import bundle
from service.web.mip import AgentPackage
from tests.fakes.site import BASE, Site

HERE = "/mip/kiln-agent"


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    yield made
    made.close()


def test_anybody_may_have_the_agent_whole(site: Site) -> None:
    browser = site.browser()

    package = browser.get(f"{HERE}/package.json")
    replies = {path: browser.get(url.removeprefix(BASE)) for path, url in package.fields["urls"]}

    assert package.headers["cache-control"] == "public, no-cache"
    assert package.fields["deps"] == []
    assert all(url.startswith(f"{BASE}{HERE}/") for _, url in package.fields["urls"])
    assert {path: reply.body for path, reply in replies.items()} == {
        each.path: each.content for each in (compiled_loader(), *compiled())
    }
    for reply in replies.values():
        assert (reply.status, reply.headers["content-length"]) == (200, str(len(reply.body)))
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable, no-transform"


@pytest.mark.parametrize(
    "path", ["0" * 16 + "/ota_loader.mpy", "{name}/ota/none.mpy", "{name}/../../keys/root.pem", "{name}/"]
)
def test_nothing_else_is_there(site: Site, path: str) -> None:
    first = site.browser().get(f"{HERE}/package.json").fields["urls"][0][1]
    name = first.removeprefix(f"{BASE}{HERE}/").partition("/")[0]

    assert site.browser().get(f"{HERE}/{path.format(name=name)}").status == 404


def test_another_agent_has_other_addresses() -> None:
    def named(*files: bundle.File) -> str:
        package = AgentPackage(agent=lambda: files, base_url=BASE, version="1.0.0")
        return str(package.listing()["urls"][0][1])

    one, two = bundle.file("ota_loader.mpy", b"1"), bundle.file("ota/a.mpy", b"2")
    assert named(one, two) != named(one, bundle.file("ota/a.mpy", b"3"))
