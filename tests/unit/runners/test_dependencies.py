"""`[dependencies]` of kiln.toml, and kiln.lock: read strictly, each error names what to fix."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from runners.contract.board import Catalogue
from runners.contract.dependencies import Lock, LockedFile, LockError, Package, changes, locked
from runners.contract.manifest import Manifest, ManifestError
from runners.contract.requirement import Requirement

CATALOGUE = Catalogue.load()
INDEX = "https://micropython.org/pi/v2"
SIMPLE = LockedFile(path="lib/umqtt/simple.py", url=f"{INDEX}/file/aa/aaaaaaaa", sha256="aa" * 32, size_bytes=6000)
ROBUST = LockedFile(path="lib/umqtt/robust.py", url=f"{INDEX}/file/bb/bbbbbbbb", sha256="bb" * 32, size_bytes=900)
KEYS = ("dependencies", "packages", "name", "version", "index", "url", "files", "path", "sha256", "size_bytes")
WANTED = (Requirement(name="umqtt.robust", version="1.0.2"),)
LOCK = Lock(
    requirements=WANTED,
    packages=(
        Package(
            name="umqtt.robust",
            version="1.0.2",
            url=f"{INDEX}/package/py/umqtt.robust/1.0.2.json",
            files=(ROBUST, SIMPLE),
        ),
    ),
)


def parse(text: str) -> Manifest:
    return Manifest.parse(text, default_name="blink", catalogue=CATALOGUE)


def test_dependencies_are_read_in_all_forms_that_mip_has() -> None:
    found = parse("""
        [dependencies]
        "umqtt.simple" = "1.4.0"
        aioble = "latest"
        ours = { version = "2.0", index = "https://mip.example.org/pi/v2" }
        "github:peterhinch/micropython-mqtt" = "v1.2"
        "gitlab:acme/sensors/drivers/bme280.py" = "feature/fast"
        "https://example.org/radio/package.json" = "latest"
    """).dependencies

    assert [(each.name, each.version, each.index) for each in found] == [
        ("aioble", "latest", ""),
        ("github:peterhinch/micropython-mqtt", "v1.2", ""),
        ("gitlab:acme/sensors/drivers/bme280.py", "feature/fast", ""),
        ("https://example.org/radio/package.json", "latest", ""),
        ("ours", "2.0", "https://mip.example.org/pi/v2"),
        ("umqtt.simple", "1.4.0", ""),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"../../etc" = "1"', "is not the name of a package"),
        ('"a/b" = "1"', "is not the name of a package"),
        ('"file:///etc/passwd" = "1"', "is not the name of a package"),
        ('"ssh://git@host/x" = "1"', "is not the name of a package"),
        ('"github:acme" = "1"', "is not the name of a package"),
        ('"github:acme/../../x" = "1"', "is not the name of a package"),
        ('"https://user:word@host/package.json" = "1"', "is not the name of a package"),
        ('"https://host/a?b" = "1"', "is not the name of a package"),
        ('"umqtt.simple" = ""', 'has the version \'\': write one like "1.4.0", a tag, or "latest"'),
        ('"umqtt.simple" = "../1"', "has the version '../1'"),
        ('"umqtt.simple" = "a/b"', "has the version 'a/b'"),
        ('"github:acme/x" = "a/../b"', "has the version 'a/../b'"),
        ('"umqtt.simple" = 1.4', '"umqtt.simple" must be text in quotes'),
        ('"umqtt.simple" = { version = "1", from = "x" }', 'has "version" and "index", not \'from\''),
        ('"umqtt.simple" = { index = "file:///x" }', 'has an "index" that is not like'),
        ('"github:acme/x" = { version = "1", index = "https://host/pi" }', "belongs to no index"),
    ],
)
def test_a_dependency_that_cannot_be_is_named_with_its_line(line: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse(f"[firmware]\n[dependencies]\n{line}\n")

    assert str(caught.value).startswith("kiln.toml line 3: ")
    assert said in str(caught.value)


def test_what_a_terminal_would_obey_is_shown_as_what_it_is() -> None:
    with pytest.raises(ManifestError, match=r"'a\\x1bb' is not the name of a package"):
        parse('[dependencies]\n"a\\u001bb" = "1"\n')


def test_too_many_dependencies_are_too_many() -> None:
    lines = "\n".join(f'p{number} = "1"' for number in range(65))
    with pytest.raises(ManifestError, match="has 65 lines, at most 64 are allowed"):
        parse(f"[dependencies]\n{lines}")


def test_a_push_that_touches_only_the_lock_is_built() -> None:
    assert parse('[build]\npaths = ["src/**"]').wants(["kiln.lock"])


def test_a_lock_comes_back_as_it_was_written_and_is_the_same_in_any_order() -> None:
    mixed = replace(LOCK, packages=(replace(LOCK.packages[0], files=(SIMPLE, ROBUST)),))

    assert Lock.parse(LOCK.to_bytes()) == LOCK
    assert mixed.to_bytes() == LOCK.to_bytes()
    assert (mixed.digest, len(LOCK.digest)) == (LOCK.digest, 64)


def test_what_is_fetched_is_the_digest_of_a_lock_and_who_brings_it_is_not() -> None:
    two = Lock(requirements=(), packages=(*LOCK.packages, replace(LOCK.packages[0], name="other", files=(SIMPLE,))))
    other = replace(SIMPLE, sha256="cc" * 32)

    assert two.digest == LOCK.digest
    assert replace(LOCK, packages=(replace(LOCK.packages[0], files=(other,)),)).digest != LOCK.digest


def test_what_a_build_takes() -> None:
    assert locked((), None) is None
    assert locked((), b"left over") is None
    assert locked(WANTED, LOCK.to_bytes()) == LOCK
    with pytest.raises(LockError, match=r"there is no kiln.lock: run `kiln lock` and commit kiln.lock"):
        locked(WANTED, None)
    newer = (Requirement(name="umqtt.robust", version="1.0.3"),)
    with pytest.raises(LockError, match=r"does not fit \[dependencies\] \(umqtt.robust\): run `kiln lock`"):
        locked(newer, LOCK.to_bytes())


def changed(**values: Any) -> bytes:  # whatever a file may hold
    value = json.loads(LOCK.to_bytes())
    value["packages"][0]["files"][0].update(values)
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", 'its "format" is not 1'),
        (b'{"format": 2}', 'its "format" is not 1'),
        (b'{"format": 1}', '"dependencies" is not a list'),
        (b'{"format": 1, "dependencies": [{}]}', "has not the keys name, version, index"),
        (b" " * (1 << 20) + b"{}", "larger than 1024 KiB"),
        (changed(url="file:///etc/passwd"), "only https://host/path is fetched"),
        (changed(url="ssh://git@host/x"), "only https://host/path is fetched"),
        (changed(url="https://me:word@host/x"), "only https://host/path is fetched"),
        (changed(url="https://host/x y"), "only https://host/path is fetched"),
        (changed(url="https://host/x?y=z"), "only https://host/path is fetched"),
        (changed(url="https://host/a/%2e%2e/b"), "only https://host/path is fetched"),
        (changed(url="https://host/a%2fb"), "only https://host/path is fetched"),
        (changed(url="https://host/a%0ab"), "only https://host/path is fetched"),
        (changed(url="https://host/x\n"), "control character"),
        (changed(path="lib/../main.py"), "is not relative and plain"),
        (changed(path="main.py"), "'main.py' is not below lib/"),
        (changed(path="/lib/a.py"), "is not below lib/"),
        (changed(path="lib/UMQTT/simple.py"), "upper and lower case are one"),
        (changed(path="lib/umqtt"), "is a file and a folder"),
        (changed(sha256="x"), "has no SHA-256 digest"),
        (changed(size_bytes=-1), "a size of -1 bytes"),
        (changed(size_bytes=9 << 20), "a size of 9437184 bytes"),
        (changed(size_bytes="1"), "is of the wrong kind"),
        (changed(size_bytes=True), "is of the wrong kind"),
        (changed(more=1), "has not the keys"),
    ],
)
def test_a_lock_that_is_none_is_refused_with_a_sentence(content: bytes, said: str) -> None:
    with pytest.raises(LockError) as caught:
        Lock.parse(content)

    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON).map(lambda value: {**value, "format": 1}))
def test_whatever_json_holds_is_a_lock_or_a_sentence(value: dict[str, Any]) -> None:
    with contextlib.suppress(LockError):
        assert Lock.parse(json.dumps(value).encode()).to_bytes()


@given(st.sampled_from(KEYS), JSON)
def test_whatever_one_value_of_a_lock_is_replaced_by_is_a_lock_or_a_sentence(key: str, value: Any) -> None:
    whole = json.loads(LOCK.to_bytes())
    for place in (whole, whole["dependencies"][0], whole["packages"][0], whole["packages"][0]["files"][0]):
        if key in place:
            kept, place[key] = place[key], value
            with contextlib.suppress(LockError):
                assert Lock.parse(json.dumps(whole).encode()).digest
            place[key] = kept


@given(st.binary())
def test_whatever_bytes_are_they_are_no_lock(content: bytes) -> None:
    with pytest.raises(LockError):
        Lock.parse(content)


def test_a_lock_of_ten_thousand_files_is_refused_before_they_are_looked_at() -> None:
    file = {"path": "lib/a.py", "url": "https://h/a", "sha256": "", "size_bytes": 0}
    package = {"name": "a", "version": "1", "url": "https://h/a", "files": [file] * 10_000}
    content = json.dumps({"format": 1, "dependencies": [], "packages": [package]}).encode()

    with pytest.raises(LockError, match=r"has 10000 files, and at most 512 are taken"):
        Lock.parse(content)


def test_files_of_many_bytes_are_too_many_together() -> None:
    files = tuple(replace(SIMPLE, path=f"lib/{n}.py", size_bytes=8 << 20) for n in range(2))
    with pytest.raises(LockError, match="names 16777216 bytes of files, at most 8388608 are taken"):
        replace(LOCK, packages=(replace(LOCK.packages[0], files=files),)).check()


def test_two_packages_may_bring_the_same_file_and_not_different_ones() -> None:
    other = replace(LOCK.packages[0], name="umqtt.simple", files=(SIMPLE,))
    assert replace(LOCK, packages=(*LOCK.packages, other)).files == (ROBUST, SIMPLE)

    different = replace(other, files=(replace(SIMPLE, sha256="cc" * 32),))
    with pytest.raises(LockError, match=r"umqtt.robust and umqtt.simple bring different files for lib/umqtt/simple.py"):
        Lock.parse(replace(LOCK, packages=(*LOCK.packages, different)).to_bytes())


def test_what_became_of_packages_is_told_in_lines() -> None:
    old = LOCK.packages[0]
    new = [replace(old, version="1.0.3"), replace(old, name="aioble", version="0.6.0")]

    assert changes([], new) == ["+ aioble 0.6.0", "+ umqtt.robust 1.0.3"]
    assert changes([old], new) == ["+ aioble 0.6.0", "~ umqtt.robust 1.0.2 -> 1.0.3"]
    assert changes([old], [replace(old, files=())]) == ["~ umqtt.robust 1.0.2 -> 1.0.2 (other files)"]
    assert changes([old], []) == ["- umqtt.robust 1.0.2"]
