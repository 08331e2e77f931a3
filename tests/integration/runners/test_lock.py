"""`kiln lock` as people run it, against a real index; and the files that `kiln build` takes from there."""

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.demo.parts import ROOT, clean_environment
from runners.contract.dependencies import Lock, LockedFile
from runners.direct import Cache, Direct
from runners.errors import RefusedError, TransportError
from tests.simulators.mip_index import MipIndex, mip_index

SIMPLE = b"class MQTTClient:\n    pass\n"


@pytest.fixture
def index() -> Iterator[MipIndex]:
    with mip_index() as made:
        made.publish("umqtt.simple", "1.3.4", {"umqtt/simple.py": b"old = 1\n"})
        made.publish("umqtt.simple", "1.4.0", {"umqtt/simple.py": SIMPLE})
        yield made


def lock(folder: pathlib.Path, index: MipIndex, *, hosts: str | None = None) -> tuple[int, str]:
    own = {"KILN_DEPENDENCY_INDEX": index.index, "KILN_DEPENDENCY_HOSTS": index.host if hosts is None else hosts}
    command, environment = [sys.executable, "-m", "service", "lock", str(folder)], {**clean_environment(), **own}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def manifest(folder: pathlib.Path, *lines: str) -> pathlib.Path:
    (folder / "kiln.toml").write_text("\n".join(("[dependencies]", *lines, "")))
    return folder / "kiln.lock"


def test_a_lock_is_written_brought_up_to_date_and_removed(index: MipIndex, tmp_path: pathlib.Path) -> None:
    place = manifest(tmp_path, '"umqtt.simple" = "1.3.4"')
    first = lock(tmp_path, index)
    old = place.read_bytes()
    again = lock(tmp_path, index)
    manifest(tmp_path, '"umqtt.simple" = "latest"')
    newer = lock(tmp_path, index)
    found = Lock.parse(place.read_bytes())
    manifest(tmp_path)
    gone = lock(tmp_path, index)

    assert first == (0, "+ umqtt.simple 1.3.4\nkiln.lock: 1 package, 1 file, 8 bytes. Commit it.\n")
    assert again == (0, "kiln.lock is up to date\n")
    assert newer == (0, "~ umqtt.simple 1.3.4 -> 1.4.0\nkiln.lock: 1 package, 1 file, 27 bytes. Commit it.\n")
    assert [each.version for each in found.packages] == ["1.4.0"]
    assert gone == (0, "- umqtt.simple 1.4.0\nkiln.lock is removed: nothing is asked for\n")
    assert not place.exists()
    assert json.loads(old)["packages"][0]["url"] == f"{index.index}/package/py/umqtt.simple/1.3.4.json"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"umqtt.simple" = "9.9.9"', "there is nothing at {index}/package/py/umqtt.simple/9.9.9.json: check the name"),
        ('"moved" = "1"', "redirects to 'http://169.254.169.254/', which is not followed"),
        ('"endless" = "1"', "{index}/package/py/endless/1.json has more than 262144 bytes"),
        ('"away" = "1"', "{index}/package/py/away/1.json answers with status 503"),
        ('"../x" = "1"', "kiln.toml line 2: '../x' is not the name of a package"),
        ('"http://other.example.org/a.py" = "1"', "KILN_DEPENDENCY_HOSTS names hosts that may do without"),
    ],
)
def test_what_cannot_be_locked_is_said_and_leaves_the_lock_as_it_was(
    index: MipIndex, tmp_path: pathlib.Path, line: str, said: str
) -> None:
    place = f"{index.at}/package/py"
    index.redirects[f"{place}/moved/1.json"] = "http://169.254.169.254/"
    index.endless.add(f"{place}/endless/1.json")
    index.statuses[f"{place}/away/1.json"] = 503
    manifest(tmp_path, line).write_bytes(b"as it was")

    code, printed = lock(tmp_path, index)

    assert (code, said.format(index=index.index) in printed) == (2, True), printed
    assert "Traceback" not in printed
    assert (tmp_path / "kiln.lock").read_bytes() == b"as it was"


def test_a_lock_that_cannot_be_written_is_said(index: MipIndex, tmp_path: pathlib.Path) -> None:
    manifest(tmp_path, '"umqtt.simple" = "1.3.4"').mkdir()

    said = f"kiln: {tmp_path}/kiln.lock cannot be written: Is a directory\n"
    assert lock(tmp_path, index) == (2, said)


def test_a_folder_without_a_manifest_and_a_wrong_setting_are_said(index: MipIndex, tmp_path: pathlib.Path) -> None:
    missing, wrong = lock(tmp_path, index), lock(tmp_path, index, hosts="http://x")

    assert (missing[0], "kiln.toml cannot be read" in missing[1]) == (2, True)
    assert (wrong[0], "KILN_DEPENDENCY_HOSTS: not a host" in wrong[1]) == (2, True)


def test_a_file_is_fetched_once_and_never_taken_for_another(index: MipIndex, tmp_path: pathlib.Path) -> None:
    (file,) = _locked(index)
    cache = Cache(folder=tmp_path / "deep" / "cache", get=Direct(hosts=frozenset({index.host})).get)

    contents = [cache.content(file) for _ in range(2)]
    (tmp_path / "deep" / "cache" / file.sha256).write_bytes(b"damaged")
    contents.append(cache.content(file))
    index.contents[file.url.removeprefix(index.url)] = b"changed"
    (tmp_path / "deep" / "cache" / file.sha256).unlink()
    with pytest.raises(RefusedError, match=r"is not the file that kiln.lock names"):
        cache.content(file)

    assert contents == [SIMPLE] * 3
    assert len(index.seen) == 3
    assert list((tmp_path / "deep" / "cache").iterdir()) == []


def test_a_server_that_is_slow_or_hangs_up_is_given_up(index: MipIndex) -> None:
    ticks = iter(range(0, 10_000, 20))
    direct = Direct(hosts=frozenset({index.host}), clock=lambda: float(next(ticks)))
    index.slow.add("/slow.py")
    index.hangs_up.add("/broken.py")

    with pytest.raises(TransportError, match="no end after 60 s"):
        direct.get(f"{index.url}/slow.py", 1 << 20)
    with pytest.raises(TransportError, match="broke off after 6 bytes"):
        direct.get(f"{index.url}/broken.py", 1 << 20)
    with pytest.raises(TransportError, match="cannot be read"):
        Direct(hosts=frozenset({"127.0.0.1"})).get("http://127.0.0.1:9/", 10)


@pytest.mark.parametrize(
    "url",
    [
        "https://[x/a.py",
        "https://h:99999/a.py",
        "https://h:x/a.py",
        "https:///a.py",
        "https://me@h/a.py",
        "file:///etc/passwd",
        "ftp://h/a.py",
        "data:,x",
        "a.py",
        f"https://h/{'x' * 1000}",
    ],
)
def test_what_is_no_address_of_a_file_is_refused_before_anybody_is_asked(url: str) -> None:
    with pytest.raises(RefusedError, match="only https://host/path is, without a user"):
        Direct().get(url, 10)


@pytest.mark.parametrize("named", ["[::1]", "[::1]:9", "h.lan", "h.lan:80"])
def test_a_host_is_named_with_or_without_its_port(named: str) -> None:
    url = "http://[::1]:9/a.py" if "::1" in named else "http://h.lan/a.py"
    with pytest.raises(RefusedError, match="KILN_DEPENDENCY_HOSTS"):
        Direct(hosts=frozenset({"other"})).get(url, 10)
    with pytest.raises(TransportError, match="cannot be read"):
        Direct(hosts=frozenset({named})).get(url, 10)


def _locked(index: MipIndex) -> tuple[LockedFile, ...]:
    from runners.contract.requirement import Requirement
    from runners.mip import Resolver

    return Resolver(index.get, index.index).resolve((Requirement(name="umqtt.simple", version="1.4.0"),)).files
