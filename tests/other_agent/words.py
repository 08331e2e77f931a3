"""What the signed bytes say: orders, statements, indexes, configurations, times (docs/ota.md)."""

import hashlib
import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.other_agent.trust import TOP, RefusedError, read_object, read_version_1, whole

HEX = re.compile(r"[0-9a-f]+\Z")
LINE = re.compile(rb"([0-9a-f]{64}) (0|[1-9][0-9]*) ([A-Za-z0-9._/-]{1,100})\n")
AGENTS = {"boot.py", "boot.mpy", "ota.py", "ota.mpy", "ota_loader.py", "ota_loader.mpy"}
ARM = range(4, 9)


def text(value: object, most: int, name: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise RefusedError("malformed", name)
    return value


def digest(value: object, name: str, lengths: tuple[int, ...] = (64,)) -> str:
    if not isinstance(value, str) or len(value) not in lengths or not HEX.match(value):
        raise RefusedError("malformed", name)
    return value


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@dataclass(frozen=True)
class Order:
    """A desired state."""

    device: str
    seq: int
    release: str
    size: int
    counter: int
    issued: int
    expires: int
    config: str  # "": what the device was enrolled with


def read_order(raw: bytes) -> Order:
    value = read_version_1(raw, "desired")
    return Order(
        device=text(value.get("device"), 48, "device"),
        seq=whole(value.get("seq"), 1, 2**63 - 1, "seq"),
        release=digest(value.get("release"), "release"),
        size=whole(value.get("size"), 1, 2**30 - 1, "size"),
        counter=whole(value.get("counter"), 1, TOP, "counter"),
        issued=whole(value.get("issued", 0), 0, 2**32 - 1, "issued"),
        expires=whole(value.get("expires"), 0, 2**63 - 1, "expires"),
        config=digest(value["config"], "config") if "config" in value else "",
    )


@dataclass(frozen=True)
class Time:
    """A signed answer about the time, and the newest seq."""

    device: str
    nonce: str
    time: int
    seq: int


def read_time(raw: bytes) -> Time:
    value = read_version_1(raw, "time")
    return Time(
        device=text(value.get("device"), 48, "device"),
        nonce=digest(value.get("nonce"), "nonce", (32,)),
        time=whole(value.get("time"), 0, 2**32 - 1, "time"),
        seq=whole(value.get("seq"), 0, 2**63 - 1, "seq"),
    )


@dataclass(frozen=True)
class Statement:
    """What the release key says about a bundle."""

    repo: str
    version: str
    counter: int
    board: str
    mpy: int
    arch: int
    sub: int | None
    files: int
    size: int
    index_sha256: str
    index_size: int

    def bundle_size(self, jws: bytes) -> int:
        return 6 + len(jws) + 1 + self.index_size + self.size


def read_statement(raw: bytes) -> Statement:
    """Read the statement of an application's release."""
    value = read_version_1(raw, "release")
    index = value.get("index")
    if not isinstance(index, dict):
        raise RefusedError("malformed", "index")
    text(value.get("name"), 64, "name")
    digest(value.get("commit"), "commit", (40, 64))
    return Statement(
        repo=text(value.get("repo"), 200, "repo"),
        version=text(value.get("version"), 64, "version"),
        counter=whole(value.get("counter"), 1, TOP, "counter"),
        board=text(value.get("board"), 64, "board"),
        mpy=whole(value.get("mpy"), 0, 255, "mpy"),
        arch=whole(value.get("arch"), 0, 255, "arch"),
        sub=whole(value["sub"], 0, 3, "sub") if "sub" in value else None,
        files=whole(value.get("files"), 1, 512, "files"),
        size=whole(value.get("size"), 0, 2**30 - 1, "size"),
        index_sha256=digest(index.get("sha256"), "index"),
        index_size=whole(index.get("size"), 1, 65536, "index"),
    )


def fits(statement: Statement, mpy: int) -> bool:
    """Say whether a board whose `sys.implementation._mpy` is this runs the bytecode and native code."""
    if statement.mpy not in (0, mpy & 255):
        return False
    own = mpy >> 10 & 15
    if statement.arch == 0:
        return True
    smaller = statement.arch in ARM and own in ARM and statement.arch <= own
    return (statement.arch == own or smaller) and statement.sub in (None, mpy >> 8 & 3)


@dataclass(frozen=True)
class Entry:
    """One file of an index."""

    sha256: str
    size: int
    path: str


def read_index(raw: bytes, statement: Statement) -> tuple[Entry, ...]:
    """Read an index whose digest is the one that the statement names."""
    if len(raw) != statement.index_size or sha256(raw) != statement.index_sha256:
        raise RefusedError("digest_mismatch", "index")
    entries: list[Entry] = []
    at = 0
    while at < len(raw):
        found = LINE.match(raw, at)
        if found is None:
            raise RefusedError(
                "bad_path" if b"\n" in raw[at:] else "malformed", f"line {len(entries) + 1} of the index"
            )
        entries.append(Entry(found[1].decode(), int(found[2]), found[3].decode()))
        at = found.end()
    files, size = len(entries), sum(entry.size for entry in entries)
    if files > statement.files or size > statement.size:
        raise RefusedError("too_large", "the index names more than the statement")
    if (files, size) != (statement.files, statement.size):
        raise RefusedError("malformed", "the index names less than the statement")
    check_paths([entry.path for entry in entries])
    return tuple(entries)


def why_no_line(raw: bytes, number: int) -> tuple[str, str]:
    shaped = re.match(rb"[0-9a-f]{64} (0|[1-9][0-9]*) [^ \n]*\n", raw)
    return "bad_path" if shaped else "malformed", f"line {number} of the index"


def check_paths(paths: list[str]) -> None:
    if any(a.encode() >= b.encode() for a, b in itertools.pairwise(paths)):
        raise RefusedError("bad_path", "the index is not sorted")
    lower = {path.lower() for path in paths}
    folders: set[str] = set()
    for path in paths:
        parts = path.lower().split("/")
        if any(part in ("", ".", "..") for part in parts) or parts[0] == "ota" or path.lower() in AGENTS:
            raise RefusedError("bad_path", path)
        folders |= {"/".join(parts[:count]) for count in range(1, len(parts))}
    if len(lower) != len(paths) or folders & lower or len(folders) > 512:
        raise RefusedError("bad_path", "paths that exclude each other")
    if not {"main.py", "main.mpy"} & set(paths):
        raise RefusedError("malformed", "no main.py")


@dataclass(frozen=True)
class Configuration:
    """Settings, and what replaces keys of device.json."""

    settings: dict[str, Any]
    device: dict[str, Any]


def open_configuration(raw: bytes, key: str) -> Configuration:
    """Decrypt and read one; `key` as device.json has it, "" for none."""
    try:
        return read_configuration(decrypt(raw, bytes.fromhex(key)))
    except (RefusedError, ValueError, RecursionError) as error:
        raise RefusedError("bad_config", str(error)) from error


def decrypt(raw: bytes, key: bytes) -> bytes:
    if not key:
        if not raw.startswith(b"KILNC0\n"):
            raise ValueError("not for a device without a key")
        return raw[7:]
    if not raw.startswith(b"KILNC1\n"):
        raise ValueError("not encrypted")
    opened = Cipher(algorithms.AES(key), modes.CBC(raw[7:23])).decryptor()
    padding = PKCS7(128).unpadder()
    return padding.update(opened.update(raw[23:]) + opened.finalize()) + padding.finalize()


def read_configuration(raw: bytes) -> Configuration:
    value = read_object(raw)
    device = value.get("device", {})
    if value.get("v") != 1 or not isinstance(value.get("settings"), dict) or not isinstance(device, dict):
        raise ValueError("configuration")
    known = {name: device[name] for name in ("token", "base", "recovery", "mqtt", "redirects", "tls") if name in device}
    check_line(known)
    for wanted in ("agent", "native"):  # programs for a board of another make: judged, and not taken
        if wanted in value:
            one = value[wanted]
            if not isinstance(one, dict):
                raise ValueError(wanted)
            digest(one.get("release"), wanted)
            for name in ("size", "counter"):
                if type(one.get(name)) is not int or one[name] < 1:
                    raise ValueError(wanted)
    return Configuration(value["settings"], known)


def check_line(device: dict[str, Any]) -> None:
    """Hold what describes the way to the service to its form; a ValueError otherwise."""
    texts = [device[name] for name in ("token", "base") if name in device]
    redirects, mqtt, tls = device.get("redirects", []), device.get("mqtt", {"host": "none"}), device.get("tls", {})
    kinds = [type(one) for one in (redirects, mqtt, tls)]
    if kinds != [list, dict, dict] or type(mqtt.get("tls", False)) is not bool:
        raise ValueError("mqtt, redirects or tls")
    whole(mqtt.get("port", 1883), 1, 65535, "port")
    texts += [mqtt.get("host"), *redirects, *([tls["ca"]] if "ca" in tls else [])]
    texts += [device["recovery"]] if device.get("recovery", "") != "" else []
    for one in texts:
        if not isinstance(one, str) or not 1 <= len(one) <= 256 or any(ord(letter) < 32 for letter in one):
            raise ValueError(f"no text: {json.dumps(one)}")
    for name in ("base", "recovery"):
        if device.get(name) and not device[name].startswith(("http://", "https://")):
            raise ValueError(name)
