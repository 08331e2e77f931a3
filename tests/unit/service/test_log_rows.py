"""Row 10: what a build prints is text, from the container to the page. Nothing reads it, and nothing obeys it."""

import pathlib
import re
from collections.abc import Iterator

import pytest

from service.web.jobs import LOG_PURPOSE
from tests.fakes.site import Browser, Site

WEB = pathlib.Path(__file__).parents[3] / "service" / "web"
EVIL = (
    b"<script>alert(document.domain)</script><img src=x onerror=alert(1)>\n"
    b"\x1b[2J\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b]8;;\x07\x1b]52;c;ZXZpbA==\x07\n"
    b"failed\rpassed\x00\xff\xfe\n"
    b"data: {}\n\nevent: done\n\n::set-output name=x::y\n##[error]no\n"
    b"[kiln: log cut at 10 bytes]\nstarted\nexit=0 oom=0 blocks=9 inodes=9\n"
)
# By which a script could make text into markup.
PARSERS = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\b|srcdoc"


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("pieces", [1, 7, 100])
def test_row_10_a_log_comes_back_byte_for_byte_as_plain_text(site: Site, pieces: int) -> None:
    build = site.build(site.follow("acme/blink", public=True))
    (job,) = site.kiln.builds.jobs(build.id)
    token = site.kiln.tokens.issue(LOG_PURPOSE, job.id, expires_s=60)
    runner = Browser(site, origin=None)
    size = -(-len(EVIL) // pieces)
    for at in range(0, len(EVIL), size):
        target = f"/runner/v1/jobs/{job.id}/log?token={token}&offset={at}"
        assert runner.send("POST", target, body=EVIL[at : at + size]).status == 200
    site.end(build)

    reply = site.browser().get(f"/builds/{build.id}/unix/log")

    assert (reply.status, reply.body) == (200, EVIL)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    page = site.browser().get(f"/builds/{build.id}")
    assert b"alert(" not in page.body  # the page asks for the log, it does not hold it
    assert "script-src 'self'" in page.headers["content-security-policy"]


def test_row_10_the_page_makes_no_markup_of_text() -> None:
    scripts = list((WEB / "static").glob("*.js"))
    assert scripts
    for path in scripts:
        assert not re.search(PARSERS, path.read_text()), path.name
    for path in (WEB / "templates").glob("*.html"):
        assert not re.search(r"\|\s*safe\b|autoescape\s+false|Markup", path.read_text()), path.name
