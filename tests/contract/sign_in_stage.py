"""A site and a forge that people sign in with, over real HTTP."""

from dataclasses import dataclass

import httpx2

from tests.fakes.asgi import Reply
from tests.fakes.site import BASE, Browser, Site
from tests.simulators.oauth import OAuthForge


@dataclass
class World:
    site: Site
    forge: OAuthForge
    door: str

    @property
    def callback(self) -> str:
        return f"/login/{self.door}/callback"

    def begin(self, browser: Browser, query: str = "") -> str:
        """To the forge and back, up to the address that the forge sends the browser to."""
        begun = browser.get(f"/login/{self.door}{query}")
        assert begun.status == 303, begun.body
        answer = httpx2.get(begun.headers["location"])
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith(f"{BASE}{self.callback}?")
        return str(answer.headers["location"]).removeprefix(BASE)

    def sign_in(self, browser: Browser, query: str = "") -> Reply:
        return browser.get(self.begin(browser, query))


def refused(reply: Reply, status: int = 401) -> str:
    assert reply.status == status, reply.body
    assert not any("kiln_session=" in line and "Max-Age=0" not in line for line in reply.cookies)
    return str(reply.fields["error"])


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/me").status == 200
