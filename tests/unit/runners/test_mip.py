"""From [dependencies] to every file, by an index in memory; hostile packages are named and refused."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from runners.contract.dependencies import Lock, LockError
from runners.contract.requirement import Requirement
from runners.errors import RefusedError
from runners.mip import Resolver, rewritten
from tests.simulators.mip_index import MipIndex

SIMPLE = b"class MQTTClient:\n    pass\n"
ROBUST = b"from . import simple\n"


@pytest.fixture
def index() -> MipIndex:
    made = MipIndex(host="pi.example.org", port=443, scheme="https")
    made.publish("umqtt.simple", "1.3.4", {"umqtt/simple.py": b"old = 1\n"})
    made.publish("umqtt.simple", "1.4.0", {"umqtt/simple.py": SIMPLE})
    made.publish("umqtt.robust", "1.0.2", {"umqtt/robust.py": ROBUST}, deps=[("umqtt.simple", "latest")])
    return made


def resolved(index: MipIndex, **wanted: str) -> Lock:
    requirements = tuple(Requirement(name=name.replace("__", "."), version=version) for name, version in wanted.items())
    return Resolver(index.get, index.index).resolve(requirements)


def asked(index: MipIndex, name: str, version: str = "latest") -> Lock:
    return Resolver(index.get, index.index).resolve((Requirement(name=name, version=version),))


def refused(index: MipIndex, name: str, version: str = "latest") -> str:
    with pytest.raises(RefusedError) as caught:
        asked(index, name, version)
    return str(caught.value)


def test_packages_and_what_they_ask_for_are_taken_from_the_index(index: MipIndex) -> None:
    lock = resolved(index, umqtt__robust="1.0.2")

    assert [(each.name, each.version, each.url) for each in lock.packages] == [
        ("umqtt.robust", "1.0.2", f"{index.index}/package/py/umqtt.robust/1.0.2.json"),
        ("umqtt.simple", "1.4.0", f"{index.index}/package/py/umqtt.simple/latest.json"),
    ]
    assert [(each.path, each.sha256, each.size_bytes) for each in lock.files] == [
        ("lib/umqtt/robust.py", hashlib.sha256(ROBUST).hexdigest(), len(ROBUST)),
        ("lib/umqtt/simple.py", hashlib.sha256(SIMPLE).hexdigest(), len(SIMPLE)),
    ]
    assert Lock.parse(lock.to_bytes()) == lock
    assert resolved(index, umqtt__robust="1.0.2").to_bytes() == lock.to_bytes()


def test_what_kiln_toml_says_of_a_package_holds_for_all(index: MipIndex) -> None:
    lock = resolved(index, umqtt__robust="1.0.2", umqtt__simple="1.3.4")

    assert {each.name: each.version for each in lock.packages} == {"umqtt.robust": "1.0.2", "umqtt.simple": "1.3.4"}


def test_two_packages_that_want_different_versions_are_told_apart(index: MipIndex) -> None:
    index.publish("a", "1", {"a.py": b""}, deps=[("umqtt.simple", "1.3.4")])
    index.publish("b", "1", {"b.py": b""}, deps=[("umqtt.simple", "1.4.0")])

    with pytest.raises(RefusedError, match=r"a asks for umqtt.simple 1.3.4, b for umqtt.simple 1.4.0: name the one"):
        resolved(index, a="1", b="1")
    assert len(resolved(index, a="1", b="1", umqtt__simple="1.4.0").packages) == 3


def test_packages_that_ask_for_each_other_come_to_an_end(index: MipIndex) -> None:
    index.publish("a", "1", {"a.py": b""}, deps=[("b", "1")])
    index.publish("b", "1", {"b.py": b""}, deps=[("a", "")])

    assert [each.name for each in resolved(index, a="1").packages] == ["a", "b"]


def test_another_index_is_asked_for_what_names_it_and_for_what_that_asks_for(index: MipIndex) -> None:
    other = MipIndex(host="ours.example.org", port=443, scheme="https", at="/mip")
    other.publish("radio", "2", {"radio.py": b"R = 1\n"}, deps=[("spi", "1")])
    other.publish("spi", "1", {"spi.py": b"S = 1\n"})
    wanted = (
        Requirement(name="radio", version="2", index=other.index),
        Requirement(name="umqtt.simple", version="1.4.0"),
    )

    lock = Resolver(lambda url, limit: (other if "ours" in url else index).get(url, limit), index.index).resolve(wanted)

    assert [each.url.split("/")[2] for each in lock.packages] == [
        "ours.example.org:443",
        "ours.example.org:443",
        "pi.example.org:443",
    ]
    assert lock.requirements == wanted


def test_a_repository_is_taken_by_its_package_json_at_its_tag() -> None:
    seen = {
        "https://raw.githubusercontent.com/acme/radio/v1.2/package.json": json.dumps(
            {
                "urls": [
                    ["radio/__init__.py", "github:acme/radio/radio/__init__.py"],
                    ["radio/spi.py", "src/spi.py"],
                    ["radio/doc.txt", "https://example.org/doc.txt"],
                ],
                "deps": [["gitlab:acme/bus/bus.py", "main"]],
                "version": "1.2.0",
            }
        ).encode(),
        "https://raw.githubusercontent.com/acme/radio/v1.2/radio/__init__.py": b"a",
        "https://raw.githubusercontent.com/acme/radio/v1.2/src/spi.py": b"b",
        "https://example.org/doc.txt": b"c",
        "https://gitlab.com/acme/bus/-/raw/main/bus.py": b"d",
    }

    lock = Resolver(lambda url, _: seen[url]).resolve((Requirement(name="github:acme/radio", version="v1.2"),))

    assert [(each.name, each.version, len(each.files)) for each in lock.packages] == [
        ("github:acme/radio", "1.2.0", 3),
        ("gitlab:acme/bus/bus.py", "main", 1),
    ]
    assert {each.path: each.url for each in lock.files} == {
        "lib/bus.py": "https://gitlab.com/acme/bus/-/raw/main/bus.py",
        "lib/radio/__init__.py": "https://raw.githubusercontent.com/acme/radio/v1.2/radio/__init__.py",
        "lib/radio/doc.txt": "https://example.org/doc.txt",
        "lib/radio/spi.py": "https://raw.githubusercontent.com/acme/radio/v1.2/src/spi.py",
    }


@pytest.mark.parametrize(
    ("where", "version", "url"),
    [
        ("github:a/b/c/d.py", "latest", "https://raw.githubusercontent.com/a/b/HEAD/c/d.py"),
        ("gitlab:a/b/d.py", "x/y", "https://gitlab.com/a/b/-/raw/x/y/d.py"),
        ("https://h/d.py", "1", "https://h/d.py"),
    ],
)
def test_short_addresses_are_those_that_mip_has(where: str, version: str, url: str) -> None:
    assert rewritten(where, version) == url


@pytest.mark.parametrize("where", ["github:a/b", "github:a//c.py", "github:a/b/../c.py", "github:a/b/"])
def test_short_addresses_that_lead_elsewhere_are_refused(where: str) -> None:
    with pytest.raises(RefusedError, match="is not like github:owner/repository/path"):
        rewritten(where, "1")


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (b"<html>", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        ([], "is not a package.json of version 1"),
        ({"v": 2}, "is not a package.json of version 1"),
        ({"urls": {}}, '"urls" of the package https://pi.example.org:443/x is not a list of pairs'),
        ({"urls": [["a.py"]]}, "is not a list of pairs"),
        ({"urls": [["a.py", 1]]}, "is not a list of pairs"),
        ({"hashes": [["a.py\n", "aaaaaaaa"]]}, "is not a list of pairs"),
        ({"hashes": [["a.py", "../../x"]]}, "which is no hash"),
        ({"hashes": [["a.py", "00000000"]]}, "its SHA-256 differs"),
        ({"urls": [["../main.py", "a.py"]]}, "is not relative and plain"),
        ({"urls": [["/etc/passwd", "a.py"]]}, "is not relative and plain"),
        ({"urls": [["x" * 101, "a.py"]]}, "a board takes 100"),
        ({"urls": [["a b.py", "a.py"]]}, "has characters other than"),
        ({"urls": [[f"{n}.py", "a.py"] for n in range(513)]}, "lists 513 things, at most 512 are taken"),
        ({"deps": [["../x", "1"]]}, "asks for a package that cannot be"),
        ({"deps": [["file:///etc/passwd", "1"]]}, "asks for a package that cannot be"),
        ({"deps": [["umqtt.simple", "../../x"]]}, "asks for a package that cannot be"),
    ],
)
def test_a_package_that_breaks_a_rule_is_named(index: MipIndex, described: Any, said: str) -> None:
    index.contents["/x/a.py"] = b""
    index.contents[f"{index.at}/file/00/00000000"] = b"other"
    index.contents["/x/package.json"] = described if isinstance(described, bytes) else json.dumps(described).encode()

    assert said in refused(index, f"{index.url}/x")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ssh://git@host/x.py", "https://me:word@host/a.py", "a.py?b=c", "../a.py"]
)
def test_a_file_at_an_address_of_another_kind_never_comes_into_a_lock(index: MipIndex, url: str) -> None:
    index.lay("/x/package.json", {"urls": [["a.py", url]]})

    with pytest.raises((LockError, RefusedError), match="only https://host/path is fetched"):
        Resolver(lambda where, _: index.contents.get(where.removeprefix(index.url), b"")).resolve(
            (Requirement(name=f"{index.url}/x", version="latest"),)
        )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.py": b"1", "A.py": b"2"}, "are the same file where upper and lower case are one"),
        ({"a": b"1", "a/b.py": b"2"}, "is a file and a folder"),
    ],
)
def test_files_that_a_board_cannot_tell_apart_are_refused(
    index: MipIndex, files: Mapping[str, bytes], said: str
) -> None:
    index.publish("bad", "1", files)

    with pytest.raises(LockError, match=said):
        asked(index, "bad")


def test_a_chain_of_packages_without_end_is_cut(index: MipIndex) -> None:
    for number in range(200):
        index.publish(f"p{number}", "1", {}, deps=[(f"p{number + 1}", "1")])

    assert refused(index, "p0") == "these are more than 128 packages"


def test_files_are_fetched_within_what_is_left_of_the_limit(index: MipIndex) -> None:
    limits: list[int] = []
    index.publish("two", "1", {"a.py": b"x" * 1000, "b.py": b"y" * 10})

    def get(url: str, limit: int) -> bytes:
        limits.append(limit)
        return index.get(url, limit)

    Resolver(get, index.index).resolve((Requirement(name="two", version="1"),))

    assert limits == [256 << 10, 8 << 20, (8 << 20) - 1000]
