"""From a push to a release with the source fetched over HTTP, through killed processes and a cancelled build."""

import pathlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from runners.docker_engine import DockerEngine
from runners.worker import WorkerSettings
from service.adapters.clock import SystemClock
from service.adapters.database import open_database
from service.domain.build import BuildId
from service.flows.source import fetch_id
from service.workflows import Starter
from tests.integration.crash.chain import Chain, running
from tests.integration.crash.processes import wait
from tests.simulators.git_server import GitHttp, bridge_address, git_server

pytestmark = [pytest.mark.docker]

TOKEN = "glpat-0123456789-very-secret"


class Fetched(Chain):
    """A repository on a git server that wants a password, followed by a Kiln of real processes."""

    def __init__(self, folder: pathlib.Path, server: GitHttp) -> None:
        who = f"{server.username}:{server.password}"
        super().__init__(folder, url=f"{server.url}/blink.git".replace("://", f"://{who}@"))
        self.server = server

    def where_the_token_is(self) -> set[str]:
        found = set()
        for (table,) in self.ask("select name from sqlite_master where type = 'table'"):
            rows = self.ask(f'select * from "{table}"')
            if any(TOKEN in str(value) for row in rows for value in row):
                found.add(str(table))
        return found

    def is_fetching(self, build: int) -> bool:
        engine = DockerEngine.connect(now=SystemClock().now)
        try:
            return fetch_id(self.kiln.instance.id, BuildId(build)) in engine.jobs(self.label)
        finally:
            engine.close()

    @property
    def label(self) -> str:
        return WorkerSettings(database_url=self.database, name=f"{self.kiln.instance.id}-runner-1").label


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetched]:
    folder = tmp_path_factory.mktemp("chain")
    with git_server(folder, host=bridge_address(), username="oauth2", password=TOKEN) as server:
        with running(Fetched(folder, server)) as chain:
            yield chain
        engine = DockerEngine.connect(now=SystemClock().now)
        left = engine.jobs(chain.label)
        for job in left:
            engine.remove(job)
        engine.remove_waiting(chain.label)  # a runner that is killed leaves its networks to the next one
        engine.close()
    assert left == set()


def test_a_push_is_fetched_built_and_released_and_the_token_stays_in_its_record(chain: Fetched) -> None:
    build = chain.push()

    chain.expect_one_release(build)

    assert chain.where_the_token_is() == {"repositories"}
    for name in ("service", "runner"):
        assert TOKEN not in (chain.kiln.data / f"{name}.log").read_text()
    names = {str(name) for (name,) in chain.ask("select name from workflow_status")}
    assert {"build-3", "fetch_source", "run_job-2"} <= names


def test_a_push_whose_hook_never_spoke_is_released_with_notes(chain: Fetched) -> None:
    """It is found by looking, and the runner that fetches it reads the title of its commit."""
    chain.expect_one_release(chain.push())
    looked = "select count(*) from hooks where reconciled_at is not null"
    wait(lambda: chain.ask(looked) == [(1,)], "the first look, which builds nothing")
    chain.kiln.kill("service")
    hook = chain.repository.bare / "hooks" / "post-receive"
    silent = hook.rename(hook.with_suffix(".silent"))
    chain.repository.set_version("silent")
    commit = chain.repository.commit("blink without a word")
    chain.repository.push()
    silent.rename(hook)
    chain.kiln.service()

    found = 'select id from builds where "commit" = ?'
    wait(lambda: chain.ask(found, commit) != [], f"a build of {commit}", log=chain.kiln.data / "service.log")

    ((build,),) = chain.ask(found, commit)
    chain.expect_one_release(int(str(build)))
    assert chain.ask("select is_found, title from builds where id = ?", build) == [(1, "blink without a word")]
    assert chain.ask("select notes from releases where build = ?", build) == [("- blink without a word",)]


def test_an_address_of_a_fetch_that_is_over_gives_no_credential(chain: Fetched) -> None:
    """It is all that the queue's tables hold, and whoever reads a copy of them has nothing in hand."""
    chain.expect_one_release(chain.push())
    found = set()
    for (table,) in chain.ask("select name from sqlite_master where type = 'table'"):
        for row in chain.ask(f'select * from "{table}"'):
            found |= set(re.findall(r"http://[^\s\"\\\\]+/runner/v1/fetches/[^\s\"\\\\]+", str(row)))
    assert found

    for address in found:
        for method, url in (("POST", address), ("GET", address), ("POST", address.replace("token=", "token=x"))):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(url, method=method))
            assert refused.value.code in {409, 405, 401}
            assert TOKEN.encode() not in refused.value.read()
            refused.value.close()


def test_a_service_killed_at_every_step_of_a_fetch_releases_once(chain: Fetched, tmp_path: pathlib.Path) -> None:
    steps = [(step, phase) for step in ("source", "fetched") for phase in ("begin", "end")]
    chain.kiln.kill("service")
    chain.kiln.service(until=(*steps[0], tmp_path / "killed-0"))

    build = chain.push()
    for number in range(1, len(steps) + 1):
        wait(lambda: chain.kiln.died("service"), f"the service to die at {steps[number - 1]}")
        assert (tmp_path / f"killed-{number - 1}").exists()
        if number < len(steps):
            chain.kiln.service(until=(*steps[number], tmp_path / f"killed-{number}"))
        else:
            chain.kiln.service()

    chain.expect_one_release(build)


@pytest.mark.parametrize("process", ["runner", "service"])
def test_a_process_killed_during_a_fetch_goes_on_after_its_restart(chain: Fetched, process: str) -> None:
    chain.server.pause_s = 3.0
    try:
        build = chain.push()
        wait(lambda: chain.is_fetching(build), "the fetch to begin")
        chain.kiln.kill(process)
        getattr(chain.kiln, process)()
        chain.expect_one_release(build)
        assert chain.is_done(build)
    finally:
        chain.server.pause_s = 0.0


def test_a_forge_in_trouble_is_asked_again_until_it_is_well(chain: Fetched) -> None:
    chain.server.statuses["/blink.git"] = 503
    try:
        before = len(chain.server.seen)
        build = chain.push()
        wait(lambda: len(chain.server.seen) >= before + 2, "the fetch to be tried again")
    finally:
        chain.server.statuses.clear()

    chain.expect_one_release(build)
    assert chain.is_done(build)


def test_the_container_of_a_cancelled_build_is_removed(chain: Fetched) -> None:
    chain.server.pause_s = 60.0
    try:
        build = chain.push()
        wait(lambda: chain.is_fetching(build), "the fetch to begin")

        engine = open_database(chain.database)
        Starter(engine, SystemClock()).stop([BuildId(build)])
        engine.dispose()

        wait(lambda: not chain.is_fetching(build), "the container to be removed")
    finally:
        chain.server.pause_s = 0.0
    status = chain.ask("select status from workflow_status where name = 'fetch_source' order by created_at desc")
    assert status[0] == ("CANCELLED",)


def test_a_push_of_a_commit_that_is_gone_fails_with_a_sentence(chain: Fetched) -> None:
    chain.kiln.kill("runner")
    build = chain.push()
    (commit,) = (str(row[0]) for row in chain.ask('select "commit" from builds where id = ?', build))
    chain.repository._git("update-ref", "-d", "refs/heads/main", where=chain.repository.bare)
    chain.repository._git("gc", "--quiet", "--prune=now", where=chain.repository.bare)
    chain.kiln.runner()

    done = "select status, message from builds where id = ? and finished_at is not null"
    wait(lambda: bool(chain.ask(done, build)), "the build to end", log=chain.kiln.data / "service.log")
    said = f"the commit {commit[:12]} is not in {chain.server.url}/blink.git any more"
    assert chain.ask(done, build) == [("failed", said)]
