"""Kiln is killed, people push, Kiln comes back: every head is built, and built once. Real processes, real git."""

import hashlib
import hmac
import json
import pathlib
import random
import time
import urllib.request
from collections.abc import Iterator

import pytest

from service.adapters.database import open_database
from service.adapters.repositories import DatabaseRepositories
from service.domain.event import Event
from service.domain.repository import Forge, Repository, RepositoryId
from tests.contract.recovery_stage import Git
from tests.integration.crash.processes import Processes, wait

NAME = RepositoryId("local/acme/blink")
SECRET = "s" * 40
REFS = [*(f"refs/heads/b{number}" for number in range(14)), *(f"refs/tags/v{number}" for number in range(6))]


class Stage:
    def __init__(self, folder: pathlib.Path) -> None:
        (folder / "acme.git").mkdir()
        self.git = Git(folder / "acme.git")
        self.kiln = Processes(folder / "data")
        self.ask = self.kiln.ask
        engine = open_database(f"sqlite:///{self.kiln.data / 'kiln.db'}")
        url = f"file://{folder / 'acme.git'}"
        record = Repository(id=NAME, forge=Forge.LOCAL, path="acme/blink", url=url, secret=SECRET)
        DatabaseRepositories(engine).add(record)
        engine.dispose()

    def deliver(self, event: Event) -> None:
        """As the hook of a local repository sends it. An annotated tag's `after` is its own object."""
        fields = {
            "ref": event.ref,
            "before": event.before or "0" * 40,
            "after": event.commit,
            "head_commit": {"id": event.commit, "message": "a push", "author": {"name": "ada"}},
            "repository": {"full_name": event.path},
        }
        body = json.dumps(fields).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": event.delivery,
            "X-Hub-Signature-256": f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}",
        }
        request = urllib.request.Request(f"{self.kiln.url}/hooks/{NAME}", data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status < 300

    def heads(self) -> dict[str, str]:
        lines = self.git("ls-remote", "--heads", "--tags", ".").splitlines()
        return {ref.removesuffix("^{}"): commit for commit, ref in (line.split("\t") for line in lines)}

    def newest(self) -> dict[object, object]:
        last = "select max(number) from builds group by ref"
        return dict(self.ask(f'select ref, "commit" from builds where number in ({last})'))  # type: ignore[arg-type]

    def settled(self) -> bool:
        return self.newest() == self.heads() and self.ask("select 1 from hooks where is_doubtful") == []


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    made.kiln.broker()
    yield made
    made.kiln.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_50_pushes_while_kiln_is_down_end_with_every_head_built_once(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    log = stage.kiln.data / "service.log"
    stage.kiln.service()
    looked = "select 1 from hooks where reconciled_at is not null"
    wait(lambda: stage.ask(looked) != [], "the first look", log=log)
    for ref in REFS[:9]:
        stage.deliver(stage.git.push(ref))
    stage.kiln.kill("service")

    refs = [*REFS, *chance.choices(REFS[:14], k=30)]
    chance.shuffle(refs)
    missed = [stage.git.push(ref) for ref in refs]
    assert len(missed) == 50
    began = time.monotonic()
    stage.kiln.service()
    late = [each for each in missed if chance.random() < 0.5]
    late += [each for each in late if chance.random() < 0.5]
    chance.shuffle(late)
    for each in late:
        stage.deliver(each)
    wait(stage.settled, "every head to be built", log=log)
    print(f"50 missed pushes: every head accepted {time.monotonic() - began:.1f} s after the start began")

    for ref, commit in stage.heads().items():
        made = stage.ask('select count(*) from builds where ref = ? and "commit" = ?', ref, commit)
        assert made == [(1,)], (ref, stage.ask("select id, status, message, title from builds where ref = ?", ref))
        (superseded,) = stage.ask('select superseded_by from builds where ref = ? and "commit" = ?', ref, commit)
        assert superseded == (None,), ref
