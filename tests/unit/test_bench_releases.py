"""A simulated device of the bench takes from a pack what it takes from the bundle, and nothing else."""

import base64
import json
from typing import Any

import pytest

from tests.bench.fleet_releases import NONE, Releases
from tests.fakes.packs import pack_of
from tests.fakes.releases import make_release

MAIN = {"main.py": b"import lib\nprint(1)\n", "lib.py": b"A = 1\n" * 200}


def payload(statement: bytes) -> dict[str, Any]:
    part = statement.split(b".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    return said


def test_packs_make_the_releases_that_bundles_hold_and_bent_ones_make_none() -> None:
    first = make_release(MAIN, claims={"counter": 1})
    second = make_release(MAIN | {"main.py": b"import lib\nprint(2)\n"}, claims={"counter": 2})
    of_nothing, of_first = pack_of(None, first), pack_of(first, second)
    held = Releases(payload)

    assert held.of_pack(of_nothing, NONE, first.digest)["counter"] == 1
    assert held.of_pack(of_first, first.digest, second.digest)["counter"] == 2
    fresh = Releases(payload)
    assert fresh.of_bundle(second.bundle, second.digest) == held.of_bundle(second.bundle, second.digest)
    for packed, older, digest in (
        (of_first, first.digest, first.digest),
        (of_first, NONE, second.digest),
        (of_first[:-1], first.digest, second.digest),
        (of_first[:-9] + bytes(9), first.digest, second.digest),
    ):
        with pytest.raises(ValueError, match=r"no pack|not the"):
            held.of_pack(packed, older, digest)
    with pytest.raises(ValueError, match="not the files"):
        fresh.of_bundle(second.bundle[:-1] + b"!", second.digest)
