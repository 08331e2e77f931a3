"""git in the service's own process tree: repositories of this machine, and the heads of any."""

import contextlib
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from runners.contract.source import is_empty
from service.adapters import git as adapter
from service.adapters.access import leave_of
from service.adapters.authorities import read_authorities
from service.adapters.git import GitSources
from service.domain.errors import BadInputError, NotFoundError, SourceError
from service.domain.repository import Forge, Repository, RepositoryId
from tests.simulators.certificates import certificates
from tests.simulators.git import git, make_bare
from tests.simulators.git_server import GitHttp, git_server

TOKEN = "glpat-very-secret"


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[GitHttp]:
    root = tmp_path / "git"
    bare = root / "blink.git"
    make_bare(bare)
    tree = git(bare, "hash-object", "-w", "-t", "tree", "/dev/null")
    first = git(bare, "commit-tree", "-m", "one", tree)
    git(bare, "update-ref", "refs/heads/main", first)
    git(bare, "tag", "-a", "-m", "v1", "v1", first)
    with git_server(root) as made:
        yield made


def sources(folder: pathlib.Path, **more: str) -> GitSources:
    # A folder with everything that a configuration file of git would stumble over.
    return GitSources(folder / 'own "git" \\ folder', leave=leave_of(lambda _: None), **more)


def record(url: str) -> Repository:
    return Repository(id=RepositoryId("local/acme/blink"), forge=Forge.LOCAL, path="acme/blink", url=url, secret="s")


def test_heads_are_those_of_branches_and_tags_with_tags_peeled(server: GitHttp, tmp_path: pathlib.Path) -> None:
    first = git(server.root / "blink.git", "rev-parse", "main")
    over_http = sources(tmp_path).heads(record(f"{server.url}/blink.git"))
    of_this_machine = sources(tmp_path).heads(record(f"file://{server.root}/blink.git"))

    assert over_http == of_this_machine == {"refs/heads/main": first, "refs/tags/v1": first}


@pytest.mark.parametrize("kind", ["bare", "with files", "shallow", "beside"])
def test_a_commit_of_this_machine_says_its_message(server: GitHttp, tmp_path: pathlib.Path, kind: str) -> None:
    """Also where its parent, or the folder of objects, is not where it usually is."""
    bare, place = server.root / "blink.git", tmp_path / "place"
    first = git(bare, "rev-parse", "main")
    second = git(bare, "commit-tree", "-p", first, "-m", "blink fäster\n\nand more", f"{first}^{{tree}}")
    git(bare, "update-ref", "refs/heads/main", second)
    words = {"shallow": ["--bare", "--depth=1"], "beside": [f"--separate-git-dir={tmp_path / 'beside'}"]}.get(kind, [])
    if kind != "bare":
        git(tmp_path, "clone", "--quiet", *words, f"file://{bare}", str(place))

    said = sources(tmp_path).message(record(f"file://{bare if kind == 'bare' else place}"), second)

    assert said.strip() == "blink fäster\n\nand more"


def test_a_message_of_another_machine_or_of_no_commit_is_not_asked_for(server: GitHttp, tmp_path: pathlib.Path) -> None:
    here, there = record(f"file://{server.root}/blink.git"), record(f"{server.url}/blink.git")

    for where, commit in ((there, "c" * 40), (here, "--all")):
        with pytest.raises(NotFoundError, match="not a commit of this machine"):
            sources(tmp_path).message(where, commit)
    assert server.seen == []


def test_a_credential_opens_the_heads_and_is_on_no_command_line(server: GitHttp, tmp_path: pathlib.Path) -> None:
    server.username, server.password, server.pause_s = "oauth2", TOKEN, 0.5
    seen: list[str] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.01):
            for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    heads = sources(tmp_path).heads(record(f"{server.url}/blink.git".replace("://", f"://oauth2:{TOKEN}@")))
    is_over.set()
    thread.join()

    assert set(heads) == {"refs/heads/main", "refs/tags/v1"}
    assert any("ls-remote" in each for each in seen)
    assert not [each for each in seen if TOKEN in each]
    assert list((tmp_path / 'own "git" \\ folder').iterdir()) == []


def test_a_wrong_credential_is_said_without_it(server: GitHttp, tmp_path: pathlib.Path) -> None:
    server.username, server.password = "oauth2", "another"

    with pytest.raises(BadInputError, match="check its address and credentials") as refused:
        sources(tmp_path).heads(record(f"{server.url}/blink.git".replace("://", f"://oauth2:{TOKEN}@")))
    assert TOKEN not in str(refused.value)


def test_a_redirect_of_the_heads_is_not_followed(server: GitHttp, tmp_path: pathlib.Path) -> None:
    server.redirects["/old.git"] = f"{server.url}/blink.git"

    with pytest.raises(BadInputError, match="302"):
        sources(tmp_path).heads(record(f"{server.url}/old.git"))
    assert [each.path for each in server.seen] == ["/old.git/info/refs"]


def test_a_server_in_trouble_passes(server: GitHttp, tmp_path: pathlib.Path) -> None:
    server.statuses["/blink.git"] = 503

    with pytest.raises(SourceError):
        sources(tmp_path).heads(record(f"{server.url}/blink.git"))


@pytest.mark.parametrize("url", ["ext::touch /tmp/x", "ssh://-oProxyCommand=x/y", "git://127.0.0.1/x"])
def test_no_other_transport_is_used(url: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(BadInputError, match="not allowed"):
        sources(tmp_path).heads(record(url))


def test_the_files_of_another_machine_are_not_fetched_here(server: GitHttp, tmp_path: pathlib.Path) -> None:
    with pytest.raises(BadInputError, match="fetched by a runner"):
        list(sources(tmp_path).fetch(record(f"{server.url}/blink.git"), "c" * 40))
    assert server.seen == []


def test_a_commit_that_is_gone_here_is_said(server: GitHttp, tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFoundError, match="not in local/acme/blink any more"):
        list(sources(tmp_path).fetch(record(f"file://{server.root}/blink.git"), "c" * 40))


def test_an_authority_that_the_operator_names_vouches_for_the_heads(server: GitHttp, tmp_path: pathlib.Path) -> None:
    (tmp_path / "ca.pem").write_text(certificates(tmp_path, "127.0.0.1"))
    authorities = read_authorities(str(tmp_path / "ca.pem"))
    with git_server(server.root, certificates=tmp_path) as tls:
        repository = record(f"{tls.url}/blink.git")

        with pytest.raises(BadInputError, match="certificate"):
            sources(tmp_path / "without").heads(repository)
        assert set(sources(tmp_path, authorities=authorities).heads(repository)) == {"refs/heads/main", "refs/tags/v1"}


@pytest.mark.parametrize("content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n"])
def test_a_file_that_holds_no_authority_is_named(content: str | None, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "ca.pem"
    if content is not None:
        place.write_text(content)

    with pytest.raises(BadInputError, match=r"KILN_SOURCE_CA: .*ca\.pem is no readable file of certificates"):
        read_authorities(str(place))
    assert read_authorities("") == ""


def test_a_commit_without_files_is_told_from_one_with_an_empty_file(tmp_path: pathlib.Path) -> None:
    bare = tmp_path / "blink.git"
    make_bare(bare)
    nothing = git(bare, "hash-object", "-w", "-t", "tree", "/dev/null")
    blob = git(bare, "hash-object", "-w", "/dev/null")
    something = git(bare, "mktree", given=f"100644 blob {blob}\tempty\n")
    said = {}
    for name, tree in (("nothing", nothing), ("something", something)):
        commit = git(bare, "commit-tree", "-m", "one", tree)
        git(bare, "update-ref", f"refs/heads/{name}", commit)
        said[name] = is_empty(b"".join(sources(tmp_path).fetch(record(f"file://{bare}"), commit)))

    assert said == {"nothing": True, "something": False}


def test_a_tag_of_what_is_no_commit_is_the_pushers_doing(server: GitHttp, tmp_path: pathlib.Path) -> None:
    bare = server.root / "blink.git"
    tree = git(bare, "rev-parse", "main^{tree}")
    blob = git(bare, "hash-object", "-w", "/dev/null")
    for name, leads_to in (("tree", tree), ("blob", blob)):
        git(bare, "update-ref", f"refs/tags/{name}", leads_to)
        with pytest.raises(BadInputError, match="is no commit"):
            list(sources(tmp_path).fetch(record(f"file://{bare}"), leads_to))


def test_a_server_that_says_nothing_is_given_up_and_leaves_no_process_behind(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "TIMEOUT_S", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/blink.git"

        with pytest.raises(SourceError, match="did not answer within 1 s"):
            sources(tmp_path).heads(record(url))

        deadline = time.monotonic() + 60
        while (left := talking_to(url)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []


def talking_to(url: str) -> list[str]:
    """The command lines of processes that name it."""
    found = []
    for place in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(place.read_bytes().decode("utf-8", "replace"))
    return [each for each in found if url in each]
