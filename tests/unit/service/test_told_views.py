"""What the forge was told is shown to those who follow the build."""

import datetime
from typing import Any

from service.domain.build import Build, BuildId
from service.domain.mark import Told
from service.domain.repository import RepositoryId
from service.web import views
from service.web.pages import templates

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
BUILD = Build(
    id=BuildId(7),
    repository=RepositoryId("github/acme/blink"),
    number=3,
    ref="refs/heads/main",
    commit="a" * 40,
    created_at=NOW,
)
TOLD = {
    "unix": Told(state="failure 0123", error="the forge does not take our status: <b>no right</b>"),
    "": Told(state="pending", next_at=NOW),
}


def page(told: dict[str, Told], *, is_known: bool) -> str:
    values: dict[str, Any] = {"jobs": [], "release": None, "bundles": [], "is_admin": False, "may_build": False}
    return templates().get_template("build.html").render(build=BUILD, told=told, is_known=is_known, **values)


def test_the_api_says_what_the_forge_was_told_and_what_it_said() -> None:
    assert views.told(TOLD, is_known=True) == [
        {"board": None, "state": "pending", "error": "", "next_at": NOW.isoformat()},
        {
            "board": "unix",
            "state": "failure",
            "error": "the forge does not take our status: <b>no right</b>",
            "next_at": None,
        },
    ]
    assert [each["error"] for each in views.told(TOLD, is_known=False)] == ["", ""]


def test_the_page_of_a_build_shows_it_as_text() -> None:
    shown = page(TOLD, is_known=True)

    assert "does not take our status: &lt;b&gt;no right" in shown
    assert "Told to the forge" not in page(TOLD, is_known=False)
    assert "Told to the forge" not in page({}, is_known=True)
