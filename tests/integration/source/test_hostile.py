"""Hostile repositories and servers (row 5): each is refused with a sentence, nothing is fetched from elsewhere."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from runners.contract.source import Credential
from tests.integration.source.conftest import Forge, Inner
from tests.simulators.git_server import bridge_address, git_server

pytestmark = [pytest.mark.docker]

PINNED = "d" * 40


@dataclass
class Trap:
    """A port that nobody must ever connect to."""

    port: int
    visits: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{bridge_address()}:{self.port}"


@pytest.fixture
def trap() -> Iterator[Trap]:
    with socket.create_server((bridge_address(), 0)) as server:
        made = Trap(server.getsockname()[1])
        server.settimeout(0.1)
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.is_set():
                try:
                    connection, visitor = server.accept()
                    made.visits.append(visitor)
                    connection.close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=watch)
        thread.start()
        yield made
        is_over.set()
        thread.join()
    assert made.visits == []


def with_module(forge: Forge, lines: str, *, path: str = "lib") -> str:
    """A commit with one submodule whose section of .gitmodules has these lines."""
    text = f'[submodule "lib"]\n\tpath = {path}\n{lines}\n'
    return forge.repository().commit({"main.py": b"", ".gitmodules": text.encode(), "lib": Inner(PINNED)})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ext::sh -c 'touch /work/out/evil'", "not plain ASCII"),
        ("ext::touch%20/work/out/evil", "only https:// addresses are fetched"),
        ("ssh://-oProxyCommand=touch$IFS/work/out/evil/x", "only https:// addresses are fetched"),
        ("git@example.org:acme/lib.git", "only https:// addresses are fetched"),
        ("git://example.org/lib.git", "only https:// addresses are fetched"),
        ("file:///etc", "only https:// addresses are fetched"),
        ("/etc", "only https:// addresses are fetched"),
        ("--upload-pack=touch", "git refuses"),
        ("https://good.example@169.254.169.254/lib.git", "names a user or hides its host"),
        ("https://169.254.169.254/latest/meta-data", "which is a link-local address"),
        ("https://[fd00:ec2::254]/lib.git", "which is a cloud's metadata service"),
        ("https://127.0.0.1/lib.git", "which is this very machine"),
        ("https://localhost/lib.git", "which is this very machine"),
        ("https://[::1]/lib.git", "which is this very machine"),
        ("https://[::ffff:127.0.0.1]/lib.git", "which is this very machine"),
        ("https://2130706433/lib.git", "names no host"),
        ("https://0x7f.1/lib.git", "names no host"),
        ("https://10.0.0.1/lib.git", "which is a private address"),
        ("https://192.168.1.1/lib.git", "which is a private address"),
        ("http://example.org/lib.git", "only https:// addresses are fetched"),
        ("../../../../../x.git", "leads out of"),
        ("https://example.org/%2e%2e/x.git", "is not plain"),
    ],
)
def test_a_submodule_elsewhere_is_refused(forge: Forge, url: str, said: str) -> None:
    pushed = with_module(forge, f"\turl = {url}")
    seen = len(forge.server.seen)

    message = forge.refusal(pushed)

    assert said in message
    assert len(forge.server.seen) - seen == 2  # the repository itself, and nothing else


def test_a_submodule_at_another_port_of_the_own_host_is_not_spoken_to_over_http(forge: Forge, trap: Trap) -> None:
    said = forge.refusal(with_module(forge, f"\turl = http://{trap.address}/lib.git"))

    assert "only https:// addresses are fetched" in said


@pytest.mark.parametrize(
    ("lines", "path", "said"),
    [
        ("\turl = ../lib.git\n\tupdate = !touch /work/out/evil", "lib", "gitmodulesUpdate"),
        ("\turl = ../lib.git", "../../lib", "a path that leads elsewhere"),
        ("\turl = ../lib.git", "-lib", "gitmodulesPath"),
        ('\turl = ../lib.git\n[submodule "../../hooks"]\n\tpath = x\n\turl = ../x.git', "lib", "gitmodulesName"),
        ("\tignored = yes", "lib", "has no url in .gitmodules"),
        ('\turl = ../lib.git\n\tbroken = "', "lib", ".gitmodules cannot be read"),
    ],
)  # fmt: skip
def test_a_hostile_gitmodules_is_refused(forge: Forge, lines: str, path: str, said: str) -> None:
    assert said in forge.refusal(with_module(forge, lines, path=path))


def test_a_redirect_is_not_followed(forge: Forge, trap: Trap) -> None:
    pushed = forge.repository().commit({"main.py": b""})
    for target in (f"http://{trap.address}/x", "http://127.0.0.1:1/x", "http://169.254.169.254/x"):
        forge.server.redirects["/blink.git"] = target

        said = forge.refusal(pushed)

        assert "redirects to another address, which is not followed" in said


def test_the_credential_goes_to_the_own_host_alone(forge: Forge) -> None:
    """A submodule on another port is another host to us, as it is to a browser."""
    root = forge.root.parent / "other"
    root.mkdir()
    forge.server.username, forge.server.password = "oauth2", "secret"
    forge.service.credential = Credential(username="oauth2", password="secret")
    with git_server(root, host=bridge_address(), username="oauth2", password="secret") as other:
        pushed = with_module(forge, f"\turl = {other.url}/lib.git")

        assert "only https:// addresses are fetched" in forge.refusal(pushed)
        assert other.seen == []


def test_alternates_of_a_dumb_server_are_not_followed(forge: Forge, trap: Trap) -> None:
    """A server may name other places for its objects (http-alternates): nothing is asked there."""
    bare = forge.repository()
    pushed = bare.commit({"main.py": b""})
    bare.git("config", "http.uploadpack", "false")
    bare.git("update-server-info")
    (bare.path / "objects/info/http-alternates").write_text(f"http://{trap.address}/objects/\n")

    said = forge.refusal(pushed)

    assert "no access" in said or "does not answer as a git server does" in said


@pytest.mark.parametrize(
    ("files", "limits", "said"),
    [
        ({"a.bin": b"x" * (2 << 20)}, {"snapshot_bytes": 1 << 20}, "the repository has more than 1 MiB of files"),
        ({f"f{n}": b"" for n in range(51)}, {"files": 50}, "the repository has more than 50 files"),
        ({"d/" * 40 + "f": b""}, {}, "is too long: at most 300 bytes and 32 folders are taken"),
        ({"f" * 200 + "/" + "g" * 200: b""}, {}, "is too long: at most 300 bytes and 32 folders are taken"),
        ({"a\nb": b""}, {}, r"'a\nb', a path that is not taken"),
    ],
    ids=["bytes", "files", "folders", "long", "newline"],
)
def test_a_repository_over_a_limit_is_refused(
    forge: Forge, files: dict[str, bytes], limits: dict[str, int], said: str
) -> None:
    assert said in forge.refusal(forge.repository().commit(files), limits=forge.limited(**limits))


def test_a_bomb_of_a_blob_does_not_get_far(forge: Forge) -> None:
    """300 MiB of zeros are 300 KiB on the wire."""
    pushed = forge.repository().commit({"zeros": bytes(300 << 20)})

    assert forge.refusal(pushed, limits=forge.limited(snapshot_bytes=4 << 20)) in {
        "the repository has more than 4 MiB of files",
        "the repository is too large to be fetched",
    }


def test_a_pack_larger_than_the_work_area_does_not_get_far(forge: Forge) -> None:
    import random

    pushed = forge.repository().commit({"noise": random.Random(1).randbytes(12 << 20)})

    said = forge.refusal(pushed, limits=forge.limited(snapshot_bytes=1 << 20))

    assert "too large" in said or "more than 1 MiB" in said


def test_submodules_have_limits_of_number_and_depth(forge: Forge) -> None:
    lines = "".join(f'[submodule "{n}"]\n\tpath = m{n}\n\turl = ../x.git\n' for n in range(4))
    many = {f"m{n}": Inner(PINNED) for n in range(4)}
    pushed = forge.repository().commit({".gitmodules": lines.encode(), **many})
    assert "more than 3 submodules" in forge.refusal(pushed, limits=forge.limited(submodules=3))

    module = b'[submodule "a"]\n\tpath = a\n\turl = ../chain.git\n'
    chain, commit = forge.repository("chain"), ""
    commit = chain.commit({"end": b""})
    for _ in range(3):
        commit = chain.commit({".gitmodules": module, "a": Inner(commit)})
    said = forge.refusal(commit, url=f"{forge.server.url}/chain.git", limits=forge.limited(submodule_levels=2))
    assert "'a/a/a' is more than 2 levels of submodules deep" in said


def test_a_pointer_to_a_large_file_is_refused_by_name_and_its_server_never_asked(forge: Forge, trap: Trap) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"a" * 64)
    config = f"[lfs]\n\turl = http://{trap.address}/lfs\n".encode()
    attributes = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"
    files = {"main.py": b"", "assets/logo.bin": pointer, ".lfsconfig": config, ".gitattributes": attributes}

    said = forge.refusal(forge.repository().commit(files))

    assert said == "'assets/logo.bin' is kept in Git LFS, which is not supported: commit the file itself"


def test_a_tree_that_leads_out_of_the_repository_is_refused(forge: Forge) -> None:
    """`..` as a name in a tree object: git's own tools do not make one, so it is written by hand."""
    bare = forge.repository()
    blob = bare.git("hash-object", "-w", "--stdin", stdin=b"evil")
    for name in (b"..", b".git", b".GIT"):
        inner = b"100644 evil\0" + bytes.fromhex(blob)
        folder = bare.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=inner)
        raw = b"40000 " + name + b"\0" + bytes.fromhex(folder)
        tree = bare.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
        pushed = bare.point("refs/heads/main", bare.git("commit-tree", "-m", "evil", tree))

        assert "git refuses" in forge.refusal(pushed)


def test_configuration_and_hooks_of_the_repository_do_nothing(forge: Forge) -> None:
    """What a server's configuration says stays on the server; what a commit says is only a file."""
    bare = forge.repository()
    config = b"[core]\n\tfsmonitor = touch /work/out/evil\n[http]\n\tfollowRedirects = true\n"
    files = {"config": config, "hooks/post-checkout": b"#!/bin/sh\ntouch /work/out/evil\n", "main.py": b""}

    assert set(forge.files(forge.fetch(bare.commit(files)))) == set(files)


def test_the_container_is_as_bare_as_a_build_container_but_for_its_network(forge: Forge) -> None:
    pushed = forge.repository().commit({"main.py": b""})
    forge.server.pause_s = 2.0
    job = forge.job(pushed)
    found: list[str] = []

    def look() -> None:
        form = "{{json .HostConfig.NetworkMode}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}"
        form += " {{.HostConfig.SecurityOpt}} {{.Config.User}} {{json .Mounts}} {{json .HostConfig.Binds}}"
        while not found:
            done = subprocess.run(
                ["docker", "inspect", "-f", form, f"kiln-{job.id}"], capture_output=True, text=True, check=False
            )
            found.extend([done.stdout.strip()] if not done.returncode else [])

    thread = threading.Thread(target=look)
    thread.start()
    forge.run(job)
    thread.join()

    network, rest = found[0].split(" ", 1)
    assert network.startswith('"kiln-')  # one of its own
    assert rest == "true [ALL] [no-new-privileges] 65534:65534 [] null"
