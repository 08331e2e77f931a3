"""What a commit may hold: paths, counts, sizes, submodules, pointers to large files."""

import pytest

from fetcher import access, pack, tree, words
from fetcher.tree import Budget, Entry, Limits

LIMITS = Limits(
    snapshot_bytes=1 << 20, files=3, path_bytes=40, path_parts=5, submodules=2, submodule_levels=2, time_s=9
)
ID = "a" * 40


def plain(path: str, size: int = 1, mode: str = "100644") -> Entry:
    return Entry(mode, ID, size, path)


def test_a_listing_of_git_is_read() -> None:
    listing = f"100644 blob {ID}      12\ta b.py\x00160000 commit {'b' * 64}       -\tlib\0".encode()

    assert tree.entries(listing) == [Entry("100644", ID, 12, "a b.py"), Entry("160000", "b" * 64, 0, "lib")]
    with pytest.raises(words.RefusedError):
        tree.entries(b"rubbish\0")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([plain("a", 1 << 20), plain("b")], "more than 1 MiB of files"),
        ([plain(f"f{n}") for n in range(4)], "more than 3 files"),
        ([plain(f"m{n}", mode="160000") for n in range(3)], "more than 2 submodules"),
        ([plain("x" * 41)], "is too long"),
        ([plain("a/b/c/d/e/f")], "is too long"),
        ([plain("ä" * 21)], "is too long"),
        *(
            ([plain(path)], "a path that is not taken")
            for path in (
                "../x", "a/../x", "/x", "a//b", "./x", "a\nb", "a\x00b", "a\x7fb",
                ".git/config", "lib/.GIT/x", "git~1/x", ".git /x", ".git./x",
            )
        ),
    ],
)  # fmt: skip
def test_a_limit_that_does_not_hold_is_named(found: list[Entry], said: str) -> None:
    with pytest.raises(words.RefusedError, match=said):
        Budget(LIMITS).take(found, "")


def test_limits_are_for_the_repository_and_its_submodules_together() -> None:
    budget = Budget(LIMITS)
    budget.take([plain("a"), plain(".gitignore"), plain("lib", mode="160000")], "")

    with pytest.raises(words.RefusedError, match="more than 3 files"):
        budget.take([plain("b"), plain("c")], "lib/")
    with pytest.raises(words.RefusedError, match="too long"):
        Budget(LIMITS).take([plain("x" * 30)], "a-long-prefix/")


def test_a_path_of_another_encoding_counts_its_bytes() -> None:
    budget = Budget(LIMITS)

    budget.take([plain("gr\udcf6\udcdfe.txt")], "")

    assert budget.files == 1


def config(*pairs: tuple[str, str]) -> bytes:
    return b"".join(f"{key}\n{value}\0".encode() for key, value in pairs)


LIB = plain("lib", mode="160000")


def test_a_submodule_is_the_entry_of_the_tree_with_its_url() -> None:
    listed = config(("submodule.any name.path", "lib"), ("submodule.any name.url", "../lib.git"))

    assert list(tree.submodules([plain("a"), LIB], listed)) == [tree.Submodule("lib", "../lib.git", ID)]


def test_a_submodule_that_is_not_to_be_fetched_stays_an_empty_folder() -> None:
    listed = config(("submodule.x.path", "lib"), ("submodule.x.url", "u"), ("submodule.x.update", "none"))

    assert list(tree.submodules([LIB], listed)) == []


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ((), "has no url"),
        ((("submodule.x.path", "other"), ("submodule.x.url", "u")), "has no url"),
        ((("submodule.x.path", "lib"), ("submodule.x.url", "")), "has no url"),
        ((("submodule.x.update", "!touch x"),), "wants to run a command"),
        ((("submodule.x.url", "-oProxyCommand=x"),), "begins with '-'"),
        ((("submodule.x.url", "--upload-pack=x"),), "begins with '-'"),
        ((("submodule.x.path", "-x"),), "begins with '-'"),
        ((("submodule.x.path", "../../x"),), "leads elsewhere"),
        ((("submodule.x.path", "/etc"),), "leads elsewhere"),
        ((("submodule.x.path", "a\\..\\x"),), "leads elsewhere"),
        ((("submodule.../../hooks.path", "lib"),), "a name that is not taken"),
        ((("submodule.a\\..\\b.path", "lib"),), "a name that is not taken"),
        ((("submodule.-x.path", "lib"),), "a name that is not taken"),
    ],
)
def test_a_hostile_gitmodules_is_refused(pairs: tuple[tuple[str, str], ...], said: str) -> None:
    with pytest.raises(words.RefusedError, match=said):
        list(tree.submodules([LIB], config(*pairs)))


def test_a_pointer_to_a_large_file_is_known_by_its_first_line() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 1\n" % (b"a" * 64)

    assert tree.is_pointer(pointer)
    assert not tree.is_pointer(b"# version https://git-lfs.github.com/spec/v1\n")
    sizes = [plain("a", 130), plain("b", 1024), plain("c", 0), plain("d", 130, mode="120000")]
    assert [each.path for each in tree.pointers(sizes)] == ["a"]


# -- the credential helper


@pytest.mark.parametrize(
    ("asked", "is_answered"),
    [
        ("protocol=https\nhost=git.lan:8443\n", True),
        ("protocol=https\nhost=git.lan:8443\npath=a/b\n", True),
        ("protocol=http\nhost=git.lan:8443\n", False),
        ("protocol=https\nhost=git.lan\n", False),
        ("protocol=https\nhost=evil.example\n", False),
        ("protocol=https\nhost=git.lan:8443.evil.example\n", False),
        ("host=git.lan:8443\n", False),
        ("", False),
    ],
)
def test_the_credential_is_for_its_own_host_and_scheme(asked: str, is_answered: bool) -> None:
    said = access.answer(asked, "https\ngit.lan:8443\noauth2\npass=word\n".removesuffix("\n"))

    assert said == ("username=oauth2\npassword=pass=word\n" if is_answered else "")


# -- git's words


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("fatal: remote error: upload-pack: not our ref aaaa", words.NotServedError),
        ("error: Server does not allow request for unadvertised object aaaa", words.NotServedError),
        ("fatal: couldn't find remote ref refs/heads/x", words.NotServedError),
        ("fatal: unable to access 'u': The requested URL returned error: 302", words.MovedError),
        ("fatal: unable to access 'u': The requested URL returned error: 403", words.RefusedError),
        ("fatal: repository 'https://x/y/' not found", words.RefusedError),
        ("fatal: Authentication failed for 'https://x/'", words.RefusedError),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", words.RefusedError),
        ("fatal: unable to access 'u': SSL certificate problem: self-signed certificate", words.RefusedError),
        ("error: object aaaa: gitmodulesUpdate: disallowed submodule update setting", words.RefusedError),
        ("fatal: write error: No space left on device", words.RefusedError),
        ("fatal: unable to access 'u': The requested URL returned error: 502", words.TroubleError),
        ("fatal: unable to access 'u': Could not resolve host: x", words.TroubleError),
        ("fatal: unable to access 'u': Failed to connect to x port 443", words.TroubleError),
        ("error: RPC failed; curl 18 transfer closed\nfatal: early EOF", words.TroubleError),
    ],
)
def test_git_is_understood(said: str, kind: type[Exception]) -> None:
    assert type(words.judge(said, "https://x/y")) is kind


def test_what_a_server_says_is_short_and_printable_when_it_is_repeated() -> None:
    said = words.short("remote: \x1b[31m" + "x" * 5000 + "\nfatal: evil\x07 words\r")

    assert said == "fatal: evil  words"
    assert len(words.short("fatal: " + "x" * 5000)) == words.MAX_SAID_CHARS


# -- packing


def test_an_archive_over_the_limit_is_refused_and_a_broken_one_is_noticed() -> None:
    import io
    import tarfile

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("a")
        member.size = 3000
        archive.addfile(member, io.BytesIO(b"x" * 3000))
    content = packed.getvalue()

    with pytest.raises(words.RefusedError):
        pack.Packer(lambda _: None, 3000).add(io.BytesIO(content))
    with pytest.raises(EOFError):
        pack.Packer(lambda _: None, 1 << 20).add(io.BytesIO(content[:2000]))
