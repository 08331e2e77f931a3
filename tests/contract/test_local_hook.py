"""deploy/hooks/post-receive, in a real bare repository: what it sends is what the door reads."""

import pathlib
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.demo.parts import ROOT, Repository
from service.adapters.clock import SystemClock
from service.adapters.forges import github
from service.domain.event import Event, EventKind
from service.domain.repository import Check
from tests.servers import free_port, http_server

SECRET = "a secret of the hook, of 32 bytes"


class Receiver:
    """Keeps what was delivered, checked and decoded by the door's own decoder."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def take(self, request: Request) -> Response:
        headers, body = dict(request.headers), await request.body()
        github.verify(headers, body, [SECRET], check=Check.TOKEN, now=SystemClock().now())
        self.events.append(github.decode(headers, body))
        return JSONResponse({"build": "http://kiln/builds/1"}, 202)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def repository(tmp_path: pathlib.Path, receiver: Receiver) -> Iterator[Repository]:
    port = free_port()
    with ExitStack() as stack:
        app = Starlette(routes=[Route("/hooks/local/acme/blink", receiver.take, methods=["POST"])])
        stack.enter_context(http_server(app, port))
        made = Repository(tmp_path, ROOT / "examples" / "blink")
        made.install_hook(f"http://127.0.0.1:{port}/hooks/local/acme/blink", SECRET)
        yield made


def git(repository: Repository, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=repository.work, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_push_tells_what_it_changed_over_all_of_its_commits(repository: Repository, receiver: Receiver) -> None:
    first = repository.commit("one")
    said = repository.push()
    (repository.work / "docs").mkdir()
    (repository.work / "docs" / "größe.md").write_text("text")
    repository.commit("two")
    repository.set_version("3")
    last = repository.commit("three")
    repository.push()

    new, pushed = receiver.events

    assert "http://kiln/builds/1" in said
    assert (new.kind, new.commit, new.before, new.changed) == (EventKind.PUSH, first, "", None)
    assert (pushed.commit, pushed.before, pushed.title) == (last, first, "three")
    assert pushed.changed == ("docs/größe.md", "src/main.py")
    assert new.commits == ((first, "one"),)
    assert pushed.commits is not None
    assert [title for _, title in pushed.commits] == ["two", "three"]
    assert pushed.commits[-1] == (last, "three")


def test_a_new_branch_brings_what_no_other_has(repository: Repository, receiver: Receiver) -> None:
    repository.commit("one")
    repository.push()
    git(repository, "checkout", "--quiet", "-b", "topic")
    repository.set_version("2")
    last = repository.commit("two")
    git(repository, "push", "--quiet", "origin", "topic")

    assert receiver.events[-1].commits == ((last, "two"),)


def test_a_push_by_force_does_not_pretend_to_know(repository: Repository, receiver: Receiver) -> None:
    repository.commit("one")
    repository.push()
    repository.set_version("2")
    git(repository, "commit", "--quiet", "--all", "--amend", "--message", "other")
    git(repository, "push", "--quiet", "--force", "origin", "main")

    assert receiver.events[-1].title == "other"
    assert receiver.events[-1].changed is None


def test_tags_and_deletions_are_told(repository: Repository, receiver: Receiver) -> None:
    commit = repository.commit("one")
    repository.push()
    git(repository, "tag", "--annotate", "--message", "first", "--message", "with a lamp", "v1.0.0")
    git(repository, "push", "--quiet", "origin", "v1.0.0")
    git(repository, "push", "--quiet", "--delete", "origin", "v1.0.0")

    _, tag, gone = receiver.events

    assert (tag.kind, tag.ref, tag.commit) == (EventKind.TAG, "refs/tags/v1.0.0", commit)
    assert tag.tag_message == "first\n\nwith a lamp"
    assert (gone.kind, gone.ref) == (EventKind.DELETED, "refs/tags/v1.0.0")
