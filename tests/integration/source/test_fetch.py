"""A pushed commit, fetched by a real container from a real git server."""

import io
import json
import pathlib
import subprocess
import tarfile
import threading
import time
from dataclasses import replace

import pytest

from runners.contract.job import Outcome
from runners.contract.source import Credential
from runners.errors import TransportError
from service.adapters.access import leave_of
from service.adapters.git import GitSources
from service.domain.repository import Forge as Kind, Repository, RepositoryId
from tests.fakes.fetch_service import InMemoryService
from tests.integration.source.conftest import Content, Forge, Inner, Link
from tests.simulators.certificates import certificates
from tests.simulators.git_server import bridge_address, git_server

pytestmark = [pytest.mark.docker]

TOKEN = "glpat-0123456789-very-secret"  # as a forge would give it


def test_exactly_the_pushed_commit_comes_though_the_branch_has_moved_on(forge: Forge) -> None:
    bare = forge.repository()
    pushed = bare.commit({"main.py": b"x = 1\n", "lib/a.py": b"A = 1\n"})
    bare.commit({"main.py": b"x = 2\n"}, message="later")

    result = forge.fetch(pushed)

    assert forge.files(result) == {"main.py": b"x = 1\n", "lib/a.py": b"A = 1\n"}
    assert result.files == 2


def test_the_first_line_of_the_commits_message_comes_with_it(forge: Forge) -> None:
    """Another line of the message that looks like one of the driver's result does not count."""
    bare = forge.repository()
    plain = bare.commit({"main.py": b"x = 1\n"}, message="blink fäster = better\n\noutcome=refused\ntitle=other")
    long = bare.commit({"main.py": b"x = 2\n"}, message="x" * 100_000)
    silent = bare.git("commit-tree", "--no-gpg-sign", f"{plain}^{{tree}}")
    bare.point("refs/heads/main", silent)

    titles = [forge.fetch(each).title for each in (plain, long, silent)]

    assert titles == ["blink fäster = better", "x" * 1000, ""]


def test_a_snapshot_has_the_same_bytes_each_time_and_those_that_the_service_itself_would_make(
    forge: Forge, tmp_path: pathlib.Path
) -> None:
    bare = forge.repository()
    files: dict[str, Content] = {
        "main.py": b"x = 1\n",
        "link": Link("main.py"),
        f"{'long/' * 25}{'n' * 120}.py": b"",
        "größe.txt": b"1",
    }
    pushed = bare.commit(files)
    record = Repository(
        id=RepositoryId("local/acme/blink"), forge=Kind.LOCAL, path="acme/blink", url=f"file://{bare.path}", secret="s"
    )

    first, second = forge.fetch(pushed), forge.fetch(pushed)
    ours = b"".join(GitSources(tmp_path / "own", leave=leave_of(lambda _: None)).fetch(record, pushed))

    assert set(forge.service.uploads.values()) == {ours}
    assert (first.digest, first.size_bytes) == (second.digest, len(ours))


def test_symbolic_links_come_as_links_and_nothing_of_git_comes(forge: Forge) -> None:
    pushed = forge.repository().commit({"main.py": b"", "passwd": Link("/etc/passwd"), "up": Link("../../x")})

    files = forge.files(forge.fetch(pushed))

    assert files == {"main.py": b"", "passwd": None, "up": None}
    assert not [each for each in files if ".git" in each.split("/")]


def test_a_repository_of_sha256_is_fetched(forge: Forge) -> None:
    pushed = forge.repository(format="sha256").commit({"main.py": b"x\n"})

    assert len(pushed) == 64
    assert forge.files(forge.fetch(pushed)) == {"main.py": b"x\n"}


def test_a_server_that_serves_no_commit_by_its_id_is_asked_for_the_ref(forge: Forge) -> None:
    bare = forge.repository()
    pushed = bare.commit({"main.py": b"x = 1\n"})
    later = bare.git("commit-tree", "-m", "later", "-p", pushed, f"{pushed}^{{tree}}")
    bare.point("refs/heads/main", later)
    forge.server.answers_v0 = True  # protocol version 2 serves any commit

    assert forge.files(forge.fetch(pushed)) == {"main.py": b"x = 1\n"}


@pytest.mark.parametrize("is_v0", [False, True])
def test_a_commit_that_is_gone_is_said(forge: Forge, is_v0: bool) -> None:
    forge.repository().commit({"main.py": b""})
    forge.server.answers_v0 = is_v0

    assert f"the commit {'c' * 12} is not in {forge.server.url}/blink.git any more" == forge.refusal("c" * 40)


def test_a_tag_object_is_no_commit(forge: Forge) -> None:
    bare = forge.repository()
    bare.commit({"main.py": b""})
    bare.git("tag", "-a", "-m", "one", "v1", "main")

    assert "is no commit" in forge.refusal(bare.git("rev-parse", "v1"))


# -- access


def test_a_private_repository_comes_with_its_credential_and_the_runner_asks_once(forge: Forge) -> None:
    forge.server.username, forge.server.password = "oauth2", TOKEN
    forge.service.credential = Credential(username="oauth2", password=TOKEN)
    pushed = forge.repository().commit({"main.py": b"x\n"})

    assert forge.files(forge.fetch(pushed)) == {"main.py": b"x\n"}
    assert forge.service.asked == ["/access"]


@pytest.mark.parametrize("credential", [None, Credential(username="oauth2", password="wrong")])
def test_no_access_is_said(forge: Forge, credential: Credential | None) -> None:
    forge.server.username, forge.server.password = "oauth2", TOKEN
    forge.service.credential = credential

    said = forge.refusal(forge.repository().commit({"main.py": b""}))

    assert said == f"no access to {forge.server.url}/blink.git: check its address and credentials"


def test_what_the_forge_refuses_is_said_and_no_container_is_fed(forge: Forge) -> None:
    forge.service.refusal = "the App is not installed on acme/blink any more: install it again"

    assert forge.refusal("c" * 40) == forge.service.refusal
    assert forge.server.seen == []


def test_a_service_that_is_away_is_trouble(forge: Forge) -> None:
    class Away(InMemoryService):
        def access(self, url: str) -> Credential | None:
            raise TransportError("POST: nobody answers")

    forge.service = Away()

    assert forge.fetch("c" * 40).outcome is Outcome.ERROR


def test_the_credential_is_seen_nowhere(forge: Forge, caplog: pytest.LogCaptureFixture) -> None:
    """Not in what Docker tells, on a command line, in the environment, in a log, the result or the snapshot."""
    forge.server.username, forge.server.password = "oauth2", TOKEN
    forge.service.credential = Credential(username="oauth2", password=TOKEN)
    pushed = forge.repository().commit({f"f{n}.py": b"x = %d\n" % n for n in range(2000)})
    forge.server.pause_s = 1.0  # time to look around
    seen: list[str] = []
    job = forge.job(pushed)
    watch = threading.Thread(target=_look_around, args=(job.id, seen))
    watch.start()

    result = forge.run(job)

    watch.join()
    assert len(forge.snapshot(result)) > 2000 * 512
    assert any("git" in each and "fetch" in each for each in seen), "the watch came too late"
    for where in (*seen, json.dumps(result.to_json()), json.dumps(job.to_json()), caplog.text):
        assert TOKEN not in where
    assert TOKEN.encode() not in forge.snapshot(result)
    assert [each.authorization != "" for each in forge.server.seen] == [False, True, True]


def _look_around(job: str, seen: list[str]) -> None:
    name = f"kiln-{job}"
    for _ in range(100):
        for words in (["inspect", name], ["logs", name], ["top", name, "-eo", "pid,args"]):
            done = subprocess.run(["docker", *words], capture_output=True, timeout=20, check=False)
            seen.append((done.stdout + done.stderr).decode("utf-8", "replace"))
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
                seen.append(path.with_name("environ").read_bytes().decode("utf-8", "replace"))
            except OSError:
                continue
        if any("upload-pack" in each or "remote-http" in each for each in seen):
            return
        time.sleep(0.02)


# -- a forge with certificates of its own


def test_a_forge_with_certificates_of_its_own_is_believed_when_the_operator_says_so(
    forge: Forge, tmp_path: pathlib.Path
) -> None:
    pushed = forge.repository().commit({"main.py": b"x\n"})
    authority = certificates(tmp_path, bridge_address())
    with git_server(forge.root, host=bridge_address(), certificates=tmp_path) as server:
        job = forge.job(pushed, url=f"{server.url}/blink.git")

        refused = forge.run(job)
        result = forge.run(replace(job, authorities=authority))

    assert (refused.outcome, refused.message) == (
        Outcome.REFUSED,
        f"the certificate of {server.url}/blink.git is not trusted: KILN_SOURCE_CA names further authorities",
    )
    assert forge.files(result) == {"main.py": b"x\n"}


# -- submodules


def test_submodules_come_at_their_pinned_commits_with_relative_and_absolute_addresses(forge: Forge) -> None:
    deep, lib, other = (forge.repository(name) for name in ("deep", "group/lib", "other"))
    deep_commit = deep.commit({"deep.py": b"D\n"})
    deep.commit({"deep.py": b"later\n"}, message="later")
    modules = b'[submodule "deep"]\n\tpath = d\n\turl = ../../deep.git\n'
    lib_commit = lib.commit({"lib.py": b"L\n", ".gitmodules": modules, "d": Inner(deep_commit)})
    other_commit = other.commit({"other.py": b"O\n"})
    modules = (
        b'[submodule "a"]\n\tpath = lib/a\n\turl = ../group/lib.git\n'
        b'[submodule "b"]\n\tpath = lib/b\n\turl = %s/other.git\n'
        b'[submodule "c"]\n\tpath = none\n\turl = ../absent.git\n\tupdate = none\n'
    ) % forge.server.url.encode()
    inner = {"lib/a": Inner(lib_commit), "lib/b": Inner(other_commit), "none": Inner("d" * 40)}
    pushed = forge.repository().commit({"main.py": b"M\n", ".gitmodules": modules, **inner})

    first, second = forge.fetch(pushed), forge.fetch(pushed)

    assert first.digest == second.digest
    with tarfile.open(fileobj=io.BytesIO(next(iter(forge.service.uploads.values())))) as archive:
        found = {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]
    assert {name: found[name] for name in found if not name.endswith(".gitmodules")} == {
        "main.py": b"M\n",
        "lib/a/lib.py": b"L\n",
        "lib/a/d/deep.py": b"D\n",
        "lib/b/other.py": b"O\n",
    }


def test_an_address_without_its_ending_is_tried_with_it_where_the_server_redirects(forge: Forge) -> None:
    forge.repository("lib").commit({"lib.py": b"L\n"})
    pinned = forge.repository("lib2").commit({"lib.py": b"L\n"})
    forge.server.redirects["/lib2/"] = f"{forge.server.url}/lib2.git/"
    modules = b'[submodule "a"]\n\tpath = a\n\turl = ../lib2\n'
    pushed = forge.repository().commit({".gitmodules": modules, "a": Inner(pinned)})

    assert forge.files(forge.fetch(pushed))["a/lib.py"] == b"L\n"


def test_a_submodule_that_may_not_be_read_is_named(forge: Forge) -> None:
    forge.server.statuses["/secret.git"] = 403
    modules = b'[submodule "a"]\n\tpath = a\n\turl = ../secret.git\n'
    pushed = forge.repository().commit({".gitmodules": modules, "a": Inner("d" * 40)})

    assert f"no access to {forge.server.url}/secret.git" in forge.refusal(pushed)


# -- passing trouble


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_worth_another_try(forge: Forge, status: int) -> None:
    forge.server.statuses["/blink.git"] = status

    result = forge.fetch("c" * 40)

    assert (result.outcome, str(status) in result.message) == (Outcome.ERROR, True)


def test_a_name_that_does_not_resolve_is_worth_another_try(forge: Forge) -> None:
    result = forge.fetch("c" * 40, url="https://nowhere.invalid/blink.git")

    assert result.outcome is Outcome.ERROR
    assert "nowhere.invalid does not resolve" in result.message


def test_a_server_that_does_not_come_to_an_end_is_given_up(forge: Forge) -> None:
    pushed = forge.repository().commit({"main.py": b""})
    forge.server.pause_s = 60.0

    result = forge.fetch(pushed, limits=forge.limited(time_s=3))

    assert (result.outcome, result.message) == (
        Outcome.ERROR,
        f"{forge.server.url}/blink.git was not fetched in time",
    )
    assert result.seconds < 10
