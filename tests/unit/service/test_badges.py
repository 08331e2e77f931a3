"""The badge: well-formed whatever is asked, and silent about what is private."""

import asyncio
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from starlette.applications import Starlette

from service.domain.build import Status
from service.domain.repository import Forge
from service.web.badges import BLUE, COLOURS, DEFAULT_STYLE, HEADERS, STYLES, Badges, Wanted, badge_svg
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
    """Two public repositories with builds and releases; the private one is what `look` never tells."""

    def __init__(self) -> None:
        self.asked: list[Wanted] = []

    def look(self, wanted: Wanted) -> str | None:
        self.asked.append(wanted)
        if (wanted.forge, wanted.path) not in {(Forge.GITHUB, "acme/blink"), (Forge.GITLAB, "acme/sub/group/blink")}:
            return None
        if wanted.is_version:
            return {"": "2.0.0-rc.1", "stable": "1.4.2"}.get(wanted.name)
        return "failed" if wanted.name == "broken" else "succeeded"


def wanted(**fields: Any) -> Wanted:
    return Wanted(**{"forge": Forge.GITHUB, "host": "github.com", "path": "acme/blink", **fields})


@pytest.fixture
def states() -> States:
    return States()


def get(states: States, target: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> Reply:
    app = Starlette(routes=Badges(states.look).routes(), exception_handlers=exception_handlers())
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
    assert states.asked == [wanted()]


def test_it_shows_a_branch_and_a_board(states: States) -> None:
    reply = get(states, "/badges/github/acme/blink.svg?branch=broken&board=esp32-generic")

    assert texts(reply.body) == ["esp32-generic", "failed"]
    assert states.asked == [wanted(name="broken", board="esp32-generic")]


@pytest.mark.parametrize(
    ("query", "asked", "said"),
    [
        ("tag=v1.0.0", {"of": "tag", "name": "v1.0.0"}, ["build", "succeeded"]),
        ("tag=v1.0.0&board=unix", {"of": "tag", "name": "v1.0.0", "board": "unix"}, ["unix", "succeeded"]),
        ("release", {"of": "release"}, ["release", "2.0.0-rc.1"]),
        ("release=", {"of": "release"}, ["release", "2.0.0-rc.1"]),
        ("channel=stable", {"of": "channel", "name": "stable"}, ["stable", "1.4.2"]),
        ("channel=none", {"of": "channel", "name": "none"}, ["build", "unknown"]),
        ("branch=", {}, ["build", "succeeded"]),
        ("branch=main&label=firmware", {"name": "main"}, ["firmware", "succeeded"]),
        ("channel=stable&label=field", {"of": "channel", "name": "stable"}, ["field", "1.4.2"]),
    ],
)
def test_it_shows_what_is_asked_for(states: States, query: str, asked: dict[str, str], said: list[str]) -> None:
    reply = get(states, f"/badges/github/acme/blink.svg?{query}")

    assert texts(reply.body) == said
    assert states.asked == [wanted(**asked)]


@pytest.mark.parametrize(
    "query",
    ["branch=a&tag=b", "release&channel=stable", "tag=v1&release", "channel=stable&board=unix", "release&board=unix"],
)
def test_two_things_at_once_are_unknown(states: States, query: str) -> None:
    assert texts(get(states, f"/badges/github/acme/blink.svg?{query}").body) == ["build", "unknown"]
    assert states.asked == []


@pytest.mark.parametrize(
    ("home", "forge", "host"),
    [
        ("github", Forge.GITHUB, "github.com"),
        ("gitlab:git.lan", Forge.GITLAB, "git.lan"),
        ("gitlab:git.lan:8443", Forge.GITLAB, "git.lan:8443"),
        ("gitlab%3Agit.lan", Forge.GITLAB, "git.lan"),
        ("local", Forge.LOCAL, ""),
    ],
)
def test_a_home_is_a_forge_and_perhaps_its_host(states: States, home: str, forge: Forge, host: str) -> None:
    get(states, f"/badges/{home}/acme/blink.svg")

    assert states.asked == [wanted(forge=forge, host=host)]


@pytest.mark.parametrize("home", ["github:", "github:github.com", "gitlab:GIT.LAN", "gitlab:-", "GitHub", "git hub"])
def test_a_home_that_no_repository_has_is_not_looked_for(states: States, home: str) -> None:
    assert texts(get(states, f"/badges/{quote(home)}/acme/blink.svg").body) == ["build", "unknown"]
    assert states.asked == []


def test_each_style_is_another_picture(states: States) -> None:
    pictures = {style: get(states, f"/badges/github/acme/blink.svg?style={style}").body for style in STYLES}

    assert len(set(pictures.values())) == len(STYLES) == 3
    assert texts(pictures["large"]) == ["BUILD", "SUCCEEDED"]
    for unknown in ("", "nothing", quote('flat" onload="')):
        assert get(states, f"/badges/github/acme/blink.svg?style={unknown}").body == pictures[DEFAULT_STYLE]


def test_the_picture_of_nothing_depends_on_the_address_alone(states: States) -> None:
    """Style and label are the asker's own, so they may show; whether there is a repository may not."""
    query = "?style=large&label=mine&branch=main"

    private, unknown = (get(states, f"/badges/github/{path}.svg{query}") for path in ("acme/private", "no/such"))

    assert private == unknown
    assert texts(private.body) == ["MINE", "UNKNOWN"]


def test_a_version_has_its_own_colour(states: States) -> None:
    assert BLUE.encode() in get(states, "/badges/github/acme/blink.svg?release").body


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", ["label", "channel", "tag", "branch", "release", "style"])
def test_markup_in_any_parameter_stays_text(states: States, name: str, hostile: str) -> None:
    reply = get(states, f"/badges/github/acme/blink.svg?{name}={quote(hostile, safe='')}")

    assert reply.status == 200
    assert len(texts(reply.body)) == 2
    assert b"<script" not in reply.body
    assert len(reply.body) < 4096


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


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters()), st.text(st.characters()), st.text(st.characters()), st.sampled_from([*STYLES, "?"]))
def test_any_text_makes_a_well_formed_picture(label: str, message: str, colour: str, style: str) -> None:
    svg = badge_svg(label, message, colour, style)

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
