"""Keys of the service that change, held against the agent itself: what it writes, a device takes (A4, A16, A17)."""

import json
import pathlib
import sys
from types import ModuleType
from typing import Any

import pytest

from service.adapters import key_files
from service.adapters.keys import FileKeys
from service.domain.errors import BadInputError, BadSignatureError, ConflictError
from service.domain.root import Document, Key, Role, Root, follow, retired, signer_of

if "micropython" not in sys.modules:
    stand_in = ModuleType("micropython")
    stand_in.const = lambda value: value  # type: ignore[attr-defined]
    sys.modules["micropython"] = stand_in

from ota import root as device_root, trust, verify
from ota.reason import RefusedError


class Device:
    """The agent's part that keeps keys, over a folder."""

    def __init__(self, folder: pathlib.Path, payload: dict[str, Any]) -> None:
        self.at = str(folder)
        (folder / "kiln").mkdir(parents=True)
        (folder / "kiln/trust.json").write_text(json.dumps(payload))

    def walk(self, keys: FileKeys) -> int:
        """Take what follows; the version after it."""
        while (document := keys.document(trust.facts(self.at)[0] + 1)) is not None:
            device_root.take(self.at, document)
        return int(trust.facts(self.at)[0])

    def believes(self, role: str, token: str) -> bool:
        try:
            verify.payload(token.encode(), trust.keys(self.at, role), 1536)
        except RefusedError:
            return False
        return True


@pytest.fixture
def keys(tmp_path: pathlib.Path) -> FileKeys:
    return FileKeys(tmp_path / "keys")


@pytest.fixture
def device(tmp_path: pathlib.Path, keys: FileKeys) -> Device:
    return Device(tmp_path / "board", keys.root().entries())


def test_the_first_document_names_the_keys_that_are_there(tmp_path: pathlib.Path, keys: FileKeys) -> None:
    again = FileKeys(tmp_path / "keys")

    assert again.root() == keys.root()
    assert again.root().version == 1
    assert [len(again.root().keys[role]) for role in ("root", "release", "director")] == [1, 1, 1]
    assert again.document(1) == keys.document(1)
    assert (again.document(0), again.document(2)) == (None, None)


def test_an_installation_from_before_root_documents_keeps_its_keys(tmp_path: pathlib.Path) -> None:
    (tmp_path / "keys").mkdir()
    kept = {role: key_files.key_of(key_files.make(tmp_path / "keys", role)) for role in ("release", "director")}

    keys = FileKeys(tmp_path / "keys")

    assert keys.root().keys["release"] == (kept["release"],)
    assert keys.root().keys["director"] == (kept["director"],)


@pytest.mark.parametrize("role", ["release", "director"])
def test_a_device_follows_a_new_key_and_leaves_the_old_one(keys: FileKeys, device: Device, role: Role) -> None:
    before = keys.sign(role, b"before")
    old = keys.public(role).kid

    assert keys.rotate(role).missing == ""
    between = keys.sign(role, b"between")
    assert signer_of(between) != old
    assert not device.believes(role, between)
    assert device.walk(keys) == 2
    assert device.believes(role, between)
    assert device.believes(role, before)
    keys.revoke(old, stolen=False)

    assert device.walk(keys) == 3
    assert device.believes(role, between)
    assert not device.believes(role, before)


def test_a_device_follows_a_new_root_key(keys: FileKeys, device: Device) -> None:
    old = keys.root().keys["root"][0].kid
    keys.rotate("root")
    keys.revoke(old, stolen=False)
    keys.rotate("release")

    assert device.walk(keys) == 4
    assert [each["kid"] for each in trust.keys(device.at, "root")] == [keys.root().keys["root"][0].kid] != [old]


@pytest.mark.parametrize("role", ["release", "director"])
def test_a4_after_a_theft_the_role_begins_again_with_one_key(keys: FileKeys, device: Device, role: Role) -> None:
    keys.rotate(role)
    stolen = keys.public(role).kid

    keys.revoke(stolen, stolen=True)

    device.walk(keys)
    assert trust.facts(device.at)[2][["release", "director"].index(role)] == 2
    assert [each["kid"] for each in trust.keys(device.at, role)] == [keys.public(role).kid]
    assert keys.public(role).kid != stolen


def test_the_last_key_of_a_role_is_not_simply_revoked(keys: FileKeys) -> None:
    for role in ("root", "release", "director"):
        with pytest.raises(ConflictError, match="rotate"):
            keys.revoke(keys.root().keys[role][0].kid, stolen=False)
    with pytest.raises(ConflictError):
        keys.revoke(keys.root().keys["root"][0].kid, stolen=True)
    with pytest.raises(BadInputError):
        keys.revoke("0" * 16, stolen=True)
    assert keys.root().version == 1


def test_a_root_key_may_live_elsewhere(tmp_path: pathlib.Path, keys: FileKeys, device: Device) -> None:
    (tmp_path / "keys/root.pem").rename(tmp_path / "offline.pem")
    keys = FileKeys(tmp_path / "keys")

    draft = keys.rotate("release")
    assert "1 more wanted" in draft.missing
    assert keys.root().version == 1
    with pytest.raises(BadSignatureError):
        keys.take(draft.document)
    signed = key_files.sign(Document.decode(draft.document), key_files.load(tmp_path / "offline.pem")).encoded()
    keys.take(signed)

    assert device.walk(keys) == 2
    assert device.believes("release", keys.sign("release", b"new"))
    with pytest.raises(ConflictError):
        keys.take(signed)


def test_a_document_whose_keys_the_service_does_not_have_is_not_taken(tmp_path: pathlib.Path, keys: FileKeys) -> None:
    elsewhere = key_files.make(tmp_path, "elsewhere")
    payload = keys.root().added("director", key_files.key_of(elsewhere)).payload()
    document = key_files.sign(Document(payload=payload), key_files.load(tmp_path / "keys/root.pem"))

    with pytest.raises(BadInputError, match="restore it"):
        keys.take(document.encoded())

    assert FileKeys(tmp_path / "keys").root().version == 1


def test_a_cut_between_key_and_document_changes_nothing(tmp_path: pathlib.Path, keys: FileKeys) -> None:
    key_files.make(tmp_path / "keys", "release")
    (tmp_path / "keys/roots/2.new").write_bytes(b"KILNR1\nhal")

    assert FileKeys(tmp_path / "keys").root() == keys.root()


def test_private_keys_are_for_the_service_alone(tmp_path: pathlib.Path, keys: FileKeys) -> None:
    keys.rotate("release")

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").glob("*.pem")}
    assert len(modes) == 4
    assert set(modes.values()) == {0o600}


def test_a17_service_and_device_judge_a_document_alike(tmp_path: pathlib.Path, keys: FileKeys) -> None:
    now = keys.root()
    mine, other = key_files.load(tmp_path / "keys/root.pem"), key_files.make(tmp_path, "other")
    new: Key = key_files.key_of(other)
    rooted = now.added("root", new)
    documents: list[tuple[Root, list[Any], bool]] = [
        (now.added("release", new), [mine], True),
        (now.added("release", new), [], False),
        (now.added("release", new), [other], False),
        (now.added("release", new).added("director", new), [mine], False),  # skips a version
        (now.begun_again("release", new), [mine], True),
        (rooted, [mine], True),
        (rooted.without(now.keys["root"][0].kid), [mine, other], False),  # skips one, too
    ]
    for number, (said, signers, is_good) in enumerate(documents):
        document = Document(payload=said.payload())
        for each in signers:
            document = key_files.sign(document, each)
        device = Device(tmp_path / f"board{number}", now.entries())

        taken = []
        for take in (lambda d=document: follow(now, d, key_files.check), lambda d=document, b=device: _take(b, d)):
            try:
                take()
                taken.append(True)
            except (BadInputError, RefusedError):
                taken.append(False)

        assert taken == [is_good, is_good], number


def _take(device: Device, document: Document) -> None:
    device_root.take(device.at, document.encoded())


def test_keys_that_were_let_go_in_order_are_told_from_stolen_ones(keys: FileKeys) -> None:
    first = keys.public("release").kid
    keys.rotate("release")
    keys.revoke(first, stolen=False)
    second = keys.public("release").kid
    keys.revoke(second, stolen=True)

    assert [each.kid for each in retired(keys.roots(), "release")] == [first]
