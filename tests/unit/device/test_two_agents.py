"""Two agents that were written apart say the same about the same bytes: ours, and tests/other_agent.

Whatever is put before them here is near to something good. Where they differ, one of them does not do what docs/ota.md
says, or that says too little.
"""

import hashlib
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings, strategies as st

from ota import bundle, configuration, listing, notice, patch, root, statement, verify
from ota.reason import RefusedError as OurError
from tests.fakes.signing import canonical, director_key, foreign_key, root_document, root_key, root_payload
from tests.other_agent import packs, trust, words
from tests.other_agent.trust import RefusedError as TheirError

DIGEST = "0123456789abcdef" * 4
STATEMENT: dict[str, Any] = {
    "v": 1, "type": "release", "repo": "local/demo/lamp", "name": "lamp", "commit": DIGEST[:40], "version": "1.0.0",
    "counter": 7, "board": "unix", "mpy": 6, "arch": 0, "files": 1, "size": 1, "index": {"sha256": DIGEST, "size": 80},
}  # fmt: skip
ORDER: dict[str, Any] = {
    "v": 1, "type": "desired", "device": "d1", "seq": 7, "release": DIGEST, "size": 1000, "counter": 7,
    "issued": 1_800_000_000, "expires": 1_900_000_000, "config": DIGEST,
}  # fmt: skip
CONFIGURATION: dict[str, Any] = {
    "v": 1, "settings": {"PERIOD": 5}, "agent": {"release": DIGEST, "size": 1, "counter": 1},
    "device": {"token": "t", "base": "http://kiln", "recovery": "", "mqtt": {"host": "h", "port": 1883, "tls": False},
               "redirects": ["a:1"], "tls": {"ca": "/kiln/ca.pem"}},
}  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 4, 8, 9, 255, 256, 512, 513, 65535, 65536, 65537, 1.0, 2**30 - 1, 2**30,
    2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, "", "x", "1", "x" * 48, "x" * 49, "x" * 64, "x" * 65,
    "x" * 200, "x" * 201, "x" * 256, "x" * 257, "a\nb", "a\x7fb", "ä", DIGEST, DIGEST[:63], DIGEST.upper(),
    DIGEST[:40], DIGEST + "0", "release", "desired", "root", "agent", "http://", "https://kiln", "ftp://kiln", [], {},
    [1], ["x"], {"sha256": 1},
)  # fmt: skip
PATHS = (
    "a.py", "A.py", "lib/a.py", "lib", "Lib/b.py", "ota", "ota/x.mpy", "OTA.py", "boot.py", "Boot.mpy", "lib/boot.py",
    "ota_loader.mpy", "main.py", "main.mpy", "a b", "..", "./a", "a//b", "/a", "a/", "a/..", "ä", "x" * 100, "x" * 101,
    "", "a-b_c.D",
)  # fmt: skip


def said(act: Callable[..., Any], *given: Any) -> tuple[str, Any]:
    """What came of it: ("", value), or the reason of a refusal."""
    try:
        return "", act(*given)
    except (OurError, TheirError) as refused:
        return str(refused.reason), None


def bent(value: dict[str, Any], at: list[str], odd: Any) -> dict[str, Any]:
    """The same with one place changed; `del` takes it away."""
    copy: dict[str, Any] = json.loads(json.dumps(value))
    inner = copy
    for name in at[:-1]:
        inner = inner[name]
    if odd == "del":
        inner.pop(at[-1], None)
    else:
        inner[at[-1]] = odd
    return copy


def places(value: dict[str, Any]) -> list[list[str]]:
    found = [[name] for name in value]
    for name, inner in value.items():
        if isinstance(inner, dict):
            found += [[name, *rest] for rest in places(inner)]
    return found


def bends(value: dict[str, Any], *more: str, each: int = 1) -> list[dict[str, Any]]:
    """Every place with every odd value, one at a time, or with some of them."""
    where = [*places(value), *([name] for name in more)]
    return [bent(value, at, odd) for turn, at in enumerate(where) for odd in (*ODD[turn % each :: each], "del")]


def test_of_statements() -> None:
    for one in bends(STATEMENT, "sub"):
        raw = canonical(one)
        ours, theirs = said(statement.claims, raw), said(words.read_statement, raw)
        assert ours[0] == theirs[0], one


def test_of_orders() -> None:
    for one in bends(ORDER):
        if 48 < len(str(one.get("device"))) <= 64:
            continue  # ours refuses such a device as another one
        raw = canonical(one)
        ours, theirs = said(notice.claims, raw), said(words.read_order, raw)
        assert ours[0] == theirs[0], one


def test_of_what_code_a_board_runs() -> None:
    for arch in range(16):
        for own in range(16):
            for sub in (None, 0, 1, 2, 3):
                for mpy in (0, 5, 6):
                    fields = STATEMENT | {"arch": arch, "mpy": mpy} | ({} if sub is None else {"sub": sub})
                    board = own << 10 | 2 << 8 | 6
                    ours = mpy in {0, 6} and statement._arch_fits(fields, board)
                    assert words.fits(words.read_statement(canonical(fields)), board) is ours, (fields, board)


def test_of_configurations(tmp_path: Path) -> None:
    (tmp_path / "kiln").mkdir()
    device = {"token": "t", "base": "http://k", "mqtt": {"host": "h", "port": 1}}
    for one in bends(CONFIGURATION, "native", each=3):
        line = one["device"].get("mqtt") if isinstance(one.get("device"), dict) else None
        if isinstance(line, dict) and type(line.get("tls", False)) is not bool:
            continue  # ours takes whatever is true for it
        raw = b"KILNC0\n" + canonical(one)
        named = hashlib.sha256(raw).hexdigest()
        ours = said(configuration.take, raw, named, device, str(tmp_path), "a")
        theirs = said(words.open_configuration, raw, "")
        assert ours[0] == theirs[0], one


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(["0", "1", "5", "05", "-1", "x", ""])), max_size=6),
    st.data(),
)
def test_of_indexes(lines: list[tuple[str, str]], data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        lines = sorted(lines)
    raw = b"".join(f"{DIGEST} {size} {path}\n".encode() for path, size in lines)
    if raw and data.draw(st.integers(0, 5)) == 0:
        at = data.draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + data.draw(st.sampled_from([b"", b"\n", b" ", b"Z", b"\xff"])) + raw[at + 1 :]
    if not raw:
        return
    files, size = len(lines), sum(int(one) for _, one in lines if one in {"0", "1", "5"})
    files, size = (
        max(1, files + data.draw(st.sampled_from([0, 0, 0, 1, -1]))),
        max(0, size + data.draw(st.sampled_from([0, 0, 0, 1, -1]))),
    )
    sha = hashlib.sha256(raw).hexdigest()
    fields = STATEMENT | {"files": files, "size": size, "index": {"sha256": sha, "size": len(raw)}}

    def ours() -> list[tuple[str, int, str]]:
        index = listing.Index(fields)
        found = [index.line(line) for line in bundle.lines(io.BytesIO(raw), len(raw), memoryview(bytearray(128)))]
        index.end()
        if not {"main.py", "main.mpy"} & {path for _, _, path in found}:
            raise OurError("malformed")  # as update._look says it of the slot
        return found

    def theirs() -> list[tuple[str, int, str]]:
        found = words.read_index(raw, words.read_statement(canonical(fields)))
        return [(one.sha256, one.size, one.path) for one in found]

    # With two faults each may name another one: ours reads line by line.
    assert said(ours)[1] == said(theirs)[1], (raw, fields)


JWS = director_key().sign(canonical(ORDER))


@settings(max_examples=200)
@given(
    st.integers(0, len(JWS) - 1),
    st.sampled_from([b"", b".", b"=", b"A", b"_", b"+", b" ", b"\n", b"\xff"]),
    st.booleans(),
)
def test_of_signed_bytes(at: int, odd: bytes, inserted: bool) -> None:
    jws = JWS[:at] + odd + JWS[at if inserted else at + 1 :]
    keys = [foreign_key().entry, director_key().entry]
    read = tuple(trust.Key(one["kid"], int(one["n"], 16), one["e"]) for one in keys)
    ours, theirs = said(lambda: bytes(verify.payload(jws, keys, 1024))), said(lambda: trust.payload_of(jws, read, 1024))
    assert ours == theirs, jws


def roots() -> list[dict[str, Any]]:
    after = root_payload(version=2, release=[foreign_key()])
    key = root_key().entry
    where = [["threshold"], ["version"], ["expires"], ["epochs"], ["epochs", "release"], ["epochs", "director"]]
    found = [bent(after, at, odd) for at in where for odd in (*ODD, "del")]
    found += [
        bent(after, [name], odd) for name in ("v", "type", "root", "director") for odd in (*ODD[:9], [], {}, "del")
    ]
    for kept in (foreign_key(), root_key()):
        for epochs in ((2, 1), (1, 2), (2, 2)):
            found.append(root_payload(version=2, release=[kept], epochs=epochs))
            found.append(root_payload(version=2, release=[kept], director=[kept], epochs=epochs))
    for odd in ({"kid": "x"}, {"kid": 1}, {"n": "zz"}, {"n": "00" + key["n"]}, {"e": 3}, {"e": "65537"}, {"n": 5}):
        found += [bent(after, [role], [key | odd]) for role in ("root", "director")]
    found += [bent(after, ["root"], [key, other]) | {"threshold": 2} for other in (key, key | {"kid": "x"})]
    return found


def taken(folder: Path, before: dict[str, Any], document: bytes) -> bytes:
    """Our agent's trust.json after it took the document."""
    (folder / "kiln").mkdir(exist_ok=True)
    path = folder / "kiln" / "trust.json"
    path.write_bytes(canonical(before))
    root.take(str(folder), document)
    return path.read_bytes()


def test_of_root_documents(tmp_path: Path) -> None:
    before = root_payload()
    own = trust.read_trust(canonical(before))
    for payload in roots():
        document = root_document(payload, [root_key()])
        assert said(taken, tmp_path, before, document) == said(trust.next_root, document, own), payload


def test_of_who_signed_a_root_document(tmp_path: Path) -> None:
    a, b, c = root_key(), foreign_key(), director_key()
    before = root_payload(root=[a, b], threshold=2)
    own = trust.read_trust(canonical(before))
    for holders, threshold in (([a], 1), ([a, c], 2), ([c], 1), ([a, b, c], 3), ([b, c], 1)):
        after = root_payload(version=2, root=holders, threshold=threshold)
        many = [[c] * 15 + [a, b], [c] * 14 + [a, b]]
        for signers in ([], [a], [b], [a, a], [a, b], [a, b, c], [c, b, a], [a, c], *many):
            document = root_document(after, signers)
            ours, theirs = said(taken, tmp_path, before, document), said(trust.next_root, document, own)
            assert ours == theirs, (holders, threshold, signers)


NUMBERS = st.integers(0, 40) | st.sampled_from([127, 128, 2**14, 2**21, 2**28 - 1])


def leb128(value: int, *, longer: bool) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value | 128, 0]) if longer else bytes([*made, value])


@settings(max_examples=200)
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, st.booleans()), max_size=5),
    st.binary(max_size=60),
    st.integers(0, 80),
)
def test_of_patches(records: list[tuple[int, int, int, bool]], base: bytes, size: int) -> None:
    raw = b""
    for seek, diff, extra, longer in records:
        raw += b"".join(leb128(one, longer=longer) for one in (seek, diff, extra)) + bytes(
            range(min(diff, 99) + min(extra, 99))
        )
    deflate = zlib.compressobj(wbits=-10)
    packed = deflate.compress(raw) + deflate.flush()

    def ours() -> bytes:
        made = io.BytesIO()
        patch.apply(io.BytesIO(raw), io.BytesIO(base), len(base), size, memoryview(bytearray(16)), made)
        return made.getvalue()

    assert said(ours) == said(lambda: packs.patched(packs.Inflated(packed), base, size)), (raw, base, size)
