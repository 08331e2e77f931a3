"""A17: who may say which keys hold, and the shape of what says it."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ota import root, trust, verify
from ota.reason import RefusedError
from tests.fakes.signing import (
    Signer,
    canonical,
    director_key,
    foreign_key,
    release_key,
    root_document,
    root_key,
    root_payload,
)
from tests.unit.device.roots import give, refused


@cache
def keys() -> list[Signer]:
    """Four more root keys; 2,048 bits save time."""
    return [Signer(bits=2048) for _ in range(4)]


def test_the_next_document_replaces_the_keys(tmp_path: Path) -> None:
    at, after = give(tmp_path), root_payload(version=2, release=[foreign_key()])

    assert root.take(at, root_document(after, [root_key()])) == 2
    assert Path(at, "kiln/trust.json").read_bytes() == canonical(after)
    assert trust.keys(at, "release") == [foreign_key().entry]
    assert trust.keys(at, "director") == [director_key().entry]
    assert trust.facts(at)[0] == 2


def test_documents_are_walked_one_by_one(tmp_path: Path) -> None:
    a, b, *_ = keys()
    at = give(tmp_path)
    walk = [
        root_document(root_payload(version=2, root=[root_key(), a]), [root_key()]),
        root_document(root_payload(version=3, root=[a]), [root_key(), a]),
        root_document(root_payload(version=4, root=[b]), [a, b]),
    ]

    assert [root.take(at, each) for each in walk] == [2, 3, 4]
    assert trust.keys(at, "root") == [b.entry]


def test_a17_a_version_that_is_skipped_is_refused(tmp_path: Path) -> None:
    at = give(tmp_path)

    assert refused(at, root_document(root_payload(version=3), [root_key()])) == "bad_root"


def test_a17_an_older_version_and_the_same_one_again_are_refused(tmp_path: Path) -> None:
    at = give(tmp_path, root_payload(version=2))

    for version in (1, 2):
        assert refused(at, root_document(root_payload(version=version), [root_key()])) == "bad_root"


def test_a17_signed_only_by_the_new_key_is_refused(tmp_path: Path) -> None:
    new = keys()[0]
    at = give(tmp_path)

    assert refused(at, root_document(root_payload(version=2, root=[new]), [new])) == "bad_signature"


def test_a17_signed_only_by_the_old_key_is_refused(tmp_path: Path) -> None:
    at = give(tmp_path)

    assert refused(at, root_document(root_payload(version=2, root=[keys()[0]]), [root_key()])) == "bad_signature"


THRESHOLD: dict[str, tuple[Callable[[Signer, Signer, Signer], Sequence[Signer]], bool]] = {
    "none": (lambda a, b, c: [], False),
    "one": (lambda a, b, c: [b], False),
    "the same twice": (lambda a, b, c: [b, b], False),
    "one and a stranger": (lambda a, b, c: [b, foreign_key()], False),
    "one and the release key": (lambda a, b, c: [b, release_key()], False),
    "two": (lambda a, b, c: [c, a], True),
    "two and a stranger": (lambda a, b, c: [foreign_key(), c, a], True),
    "three": (lambda a, b, c: [a, b, c], True),
}


@pytest.mark.parametrize("signers", list(THRESHOLD))
def test_a17_two_of_three_root_keys_must_sign(tmp_path: Path, signers: str) -> None:
    choose, is_enough = THRESHOLD[signers]
    three = keys()[:3]
    at = give(tmp_path, root_payload(root=three, threshold=2))
    document = root_document(root_payload(version=2, root=three, threshold=2), choose(*three))

    if is_enough:
        assert root.take(at, document) == 2
    else:
        assert refused(at, document) == "bad_signature"


def test_a17_one_key_under_two_names_counts_once(tmp_path: Path) -> None:
    a, b, *_ = keys()
    twin = Signer(bits=2048)
    twin.private, twin.n, twin.kid = a.private, a.n, "f" * 16
    twin.entry = {**a.entry, "kid": twin.kid, "n": "00" + a.entry["n"]}
    at = give(tmp_path, root_payload(root=[a, twin, b], threshold=2))

    assert refused(at, root_document(root_payload(version=2, root=[a, b]), [a, twin])) == "bad_signature"
    assert root.take(at, root_document(root_payload(version=2, root=[a, b]), [twin, b])) == 2


def test_a17_the_same_entry_twice_counts_once(tmp_path: Path) -> None:
    a, b, *_ = keys()
    at = give(tmp_path, root_payload(root=[a, a, b], threshold=2))

    assert refused(at, root_document(root_payload(version=2, root=[a, b]), [a, a])) == "bad_signature"


def test_a17_the_new_threshold_holds_for_the_new_keys(tmp_path: Path) -> None:
    a, b, *_ = keys()
    at = give(tmp_path)
    after = root_payload(version=2, root=[root_key(), a, b], threshold=2)

    assert refused(at, root_document(after, [root_key()])) == "bad_signature"
    assert root.take(at, root_document(after, [root_key(), b])) == 2


def test_a17_a_revoked_root_key_signs_nothing_any_more(tmp_path: Path) -> None:
    a, b, *_ = keys()
    at = give(tmp_path, root_payload(root=[a]))
    root.take(at, root_document(root_payload(version=2, root=[b]), [a, b]))

    assert refused(at, root_document(root_payload(version=3, root=[a]), [a])) == "bad_signature"


@pytest.mark.parametrize("signer", [release_key, director_key, foreign_key])
def test_a16_no_other_key_names_keys(tmp_path: Path, signer: Callable[[], Signer]) -> None:
    at = give(tmp_path)

    assert refused(at, root_document(root_payload(version=2), [signer()])) == "bad_signature"


def test_a4_an_epoch_rises_only_when_no_key_of_its_role_stays(tmp_path: Path) -> None:
    new, at = keys()[0], give(tmp_path)

    for held in ([release_key()], [new, release_key()]):
        after = root_payload(version=2, release=held, epochs=(2, 1))
        assert refused(at, root_document(after, [root_key()])) == "bad_root"
    root.take(at, root_document(root_payload(version=2, release=[new], epochs=(2, 1)), [root_key()]))
    assert trust.facts(at)[2] == [2, 1]


def test_a4_a_key_that_stays_in_another_spelling_stays(tmp_path: Path) -> None:
    at, again = give(tmp_path), Signer(bits=2048)
    again.entry = {**director_key().entry, "kid": "0" * 16, "n": "00" + director_key().entry["n"]}
    after = root_payload(version=2, director=[again], epochs=(1, 2))

    assert refused(at, root_document(after, [root_key()])) == "bad_root"


def test_a4_an_epoch_never_falls(tmp_path: Path) -> None:
    at = give(tmp_path, root_payload(epochs=(3, 3)))

    for epochs in ((2, 3), (3, 2)):
        after = root_payload(version=2, release=[keys()[0]], director=[keys()[1]], epochs=epochs)
        assert refused(at, root_document(after, [root_key()])) == "bad_root"


def test_a1_every_flipped_bit_of_a_root_document_is_refused(tmp_path: Path) -> None:
    key = Signer(bits=2048)
    small = root_payload(version=2, root=[key])
    at, good = give(tmp_path, root_payload(root=[key])), root_document(small, [key])
    before = Path(at, "kiln/trust.json").read_bytes()

    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1 << place % 8
        with pytest.raises(RefusedError):
            root.take(at, bytes(changed))

    assert Path(at, "kiln/trust.json").read_bytes() == before
    assert root.take(at, good) == 2


def cut(raw: bytes) -> list[bytes]:
    lines = raw.split(b"\n")
    return [
        b"",
        b"KILNR1\n",
        raw[:-1],
        raw[:-40],
        b"KILN1\n" + raw[7:],
        b"\n".join([*lines[:2], b""]),
        b"\n".join([lines[0], b"", *lines[2:]]),
        b"\n".join([lines[0], lines[1] + b"=", *lines[2:]]),
        raw + b"x",
    ]


@pytest.mark.parametrize("number", range(9))
def test_what_is_no_root_document_is_refused(tmp_path: Path, number: int) -> None:
    raw = cut(root_document(root_payload(version=2), [root_key()]))[number]

    assert refused(give(tmp_path), raw) in ("malformed", "bad_signature")


def test_a9_a_root_document_over_the_limit_is_not_looked_at(tmp_path: Path) -> None:
    assert refused(give(tmp_path), b"KILNR1\n" + b"a" * 8186) == "too_large"


CHANGES: list[dict[str, Any]] = [
    {"v": 2},
    {"type": "release"},
    {"version": "2"},
    {"version": True},
    {"version": 0},
    {"version": 1 << 31},
    {"expires": -1},
    {"expires": None},
    {"threshold": 0},
    {"threshold": 9},
    {"epochs": None},
    {"epochs": {"release": 1}},
    {"epochs": {"release": 0, "director": 1}},
    {"root": []},
    {"release": {}},
    {"director": [{"kid": "x", "n": "y"}]},
    {"release": [{"kid": "x", "n": "0x" + "f" * 512, "e": 65537}]},
    {"release": [{"kid": "x", "n": "f" * 256, "e": 65537}]},
    {"release": [{"kid": "x", "n": "f" * 1026, "e": 65537}]},
    {"release": [{"kid": "x", "n": "f" * 512, "e": 3}]},
    {"director": [{"kid": 5, "n": "f" * 512, "e": 65537}]},
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_another_shape_is_malformed(tmp_path: Path, number: int) -> None:
    document = root_document({**root_payload(version=2), **CHANGES[number]}, [root_key()])

    assert refused(give(tmp_path), document) == "malformed"


def test_a_threshold_that_no_signatures_could_reach_is_refused(tmp_path: Path) -> None:
    after = root_payload(version=2, root=[root_key(), root_key()], threshold=2)

    assert refused(give(tmp_path), root_document(after, [root_key()])) == "bad_root"


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b"[" * 700, b"7"])
def test_a_signed_text_that_is_no_object_is_malformed(tmp_path: Path, raw: bytes) -> None:
    assert refused(give(tmp_path), root_document(raw, [root_key()])) in ("malformed", "bad_signature")


def test_a17_false_lines_under_a_true_name_cost_one_check_of_a_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, opens = give(tmp_path), verify.opens
    checked: list[object] = []

    def counted(*words: object) -> object:
        checked.append(words)
        return opens(*words)

    monkeypatch.setattr(verify, "opens", counted)
    magic, _, line = root_document(root_payload(version=2), [foreign_key()]).splitlines()
    true = root_document(root_payload(version=2), [root_key()]).splitlines()[2]
    false = true.partition(b".")[0] + b"." + line.partition(b".")[2]

    assert refused(at, b"\n".join([magic, b"e30", *[false] * 12, b""])) == "bad_signature"
    assert len(checked) == 1
