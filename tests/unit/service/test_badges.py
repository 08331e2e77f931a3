"""The badge: well-formed whatever is asked, and silent about what is private."""

import asyncio
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from starlette.applications import Starlette

from service.domain.build import Status
from service.domain.repository import Forge
from service.web.badges import COLOURS, HEADERS, Badges, badge_svg
from service.web.errors import exception_handlers
from tests.fakes.asgi import Reply, ask

HOSTILE = (
    'red" onload="alert(document.domain)',
    "'><script>alert(1)</script>",
    "</text><script/>",
    "<!--",
    "]]>",
    "&lt;&amp;&#x0;",
    "\x00\x1b[31m",
    "%s{{7*7}}${x}",
    "x" * 5000,
    "\u202egnp.exe",
    "💩",
)
SVG = "{http://www.w3.org/2000/svg}"
OURS = {f"{SVG}{name}" for name in ("svg", "title", "clipPath", "rect", "g", "text")}
ATTRIBUTES = {
    "width", "height", "role", "aria-label", "id", "rx", "clip-path", "fill", "x", "y", "textLength", "font-family",
    "font-size",
}  # fmt: skip


class States:
    """One public repository with builds; the private one is what `state_of` never tells."""

    def __init__(self) -> None:
        self.asked: list[tuple[Forge, str, str, str]] = []

    def state_of(self, forge: Forge, path: str, branch: str, board: str) -> str | None:
        self.asked.append((forge, path, branch, board))
        if (forge, path) not in {(Forge.GITHUB, "acme/blink"), (Forge.GITLAB, "acme/sub/group/blink")}:
            return None
        return "failed" if branch == "broken" else "succeeded"


@pytest.fixture
def states() -> States:
    return States()


def get(states: States, target: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> Reply:
    app = Starlette(routes=Badges(states.state_of).routes(), exception_handlers=exception_handlers())
    return asyncio.run(ask(app, method, target, headers=headers or {}))


def texts(svg: bytes) -> list[str]:
    """What the badge says, when its elements and attributes are ours and no others."""
    root = ET.fromstring(svg)
    for element in root.iter():
        assert element.tag in OURS
        assert set(element.attrib) <= ATTRIBUTES
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_it_shows_the_newest_build(states: States) -> None:
    reply = get(states, "/badges/github/acme/blink.svg")

    assert (reply.status, texts(reply.body)) == (200, ["build", "succeeded"])
    assert reply.headers["content-type"] == "image/svg+xml"
    assert {name: reply.headers[name.lower()] for name in HEADERS} == HEADERS
    assert states.asked == [(Forge.GITHUB, "acme/blink", "", "")]


def test_it_shows_a_branch_and_a_board(states: States) -> None:
    reply = get(states, "/badges/github/acme/blink.svg?branch=broken&board=esp32-generic")

    assert texts(reply.body) == ["esp32-generic", "failed"]
    assert states.asked == [(Forge.GITHUB, "acme/blink", "broken", "esp32-generic")]


def test_a_path_may_have_subgroups(states: States) -> None:
    assert texts(get(states, "/badges/gitlab/acme/sub/group/blink.svg").body) == ["build", "succeeded"]


@pytest.mark.parametrize(
    "target",
    [
        "github/no/such.svg",
        "github/acme/private.svg",
        "github/acme/private.svg?board=esp32-generic&branch=main",
        "svn/acme/blink.svg",
        "github/acme.svg",
        "github/../../etc/passwd.svg",
        "github/.svg",
        "github/acme/blink%00.svg",
        "github/acme/blink.svg?board=%00",
        f"github/acme/blink.svg?board={'x' * 101}",
        f"github/acme/blink.svg?branch={'x' * 256}",
    ],
)
def test_private_unknown_and_impossible_are_one_badge(states: States, target: str) -> None:
    reply = get(states, f"/badges/{target}")

    assert reply == get(states, "/badges/github/nobody/nothing.svg")
    assert (reply.status, texts(reply.body)) == (200, ["build", "unknown"])


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("place", ["{}/acme/blink.svg", "github/{}.svg", "github/acme/blink.svg?branch={}&style={}"])
def test_markup_in_a_parameter_stays_out(states: States, hostile: str, place: str) -> None:
    reply = get(states, f"/badges/{place.replace('{}', quote(hostile, safe=''))}")

    assert (reply.status, texts(reply.body)[0]) == (200, "build")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markup_in_a_board_is_shown_as_text(states: States, hostile: str) -> None:
    reply = get(states, f"/badges/github/acme/blink.svg?board={quote(hostile, safe='')}")

    assert reply.status == 200
    assert texts(reply.body)[0] in {hostile, "build"}
    assert b"<script" not in reply.body


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters()), st.text(st.characters()), st.text(st.characters()))
def test_any_text_makes_a_well_formed_picture(label: str, message: str, colour: str) -> None:
    svg = badge_svg(label, message, colour)

    assert len(texts(svg)) == 2
    assert len(svg) < 4096


def test_a_long_text_is_cut() -> None:
    label, _ = texts(badge_svg("x" * 200, "", "red"))

    assert (len(label), label[-1]) == (100, "…")


def test_every_status_has_a_colour() -> None:
    assert set(COLOURS) == {each.value for each in Status}


def test_an_unchanged_badge_is_not_sent_again(states: States) -> None:
    etag = get(states, "/badges/github/acme/blink.svg").headers["etag"]

    for given_tags in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        reply = get(states, "/badges/github/acme/blink.svg", {"If-None-Match": given_tags})
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
        assert reply.headers["cache-control"] == HEADERS["Cache-Control"]


@pytest.mark.parametrize("given_tags", ["", '"other"', "é", ",,,", '"' * 100])
def test_a_changed_badge_is_sent(states: States, given_tags: str) -> None:
    assert get(states, "/badges/github/acme/blink.svg", {"If-None-Match": given_tags}).status == 200


def test_each_state_has_its_own_tag(states: States) -> None:
    tags = {get(states, f"/badges/github/{path}").headers["etag"] for path in ("acme/blink.svg", "acme/x.svg")}

    assert len(tags) == 2


def test_only_reading_is_allowed(states: States) -> None:
    assert get(states, "/badges/github/acme/blink.svg", method="HEAD").status == 200
    assert get(states, "/badges/github/acme/blink.svg", method="POST").status == 405
