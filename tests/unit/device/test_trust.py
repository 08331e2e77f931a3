"""What a device trusts, as it has it on its flash."""

import json
from pathlib import Path

import pytest

from ota import trust
from ota.reason import RefusedError
from tests.fakes.signing import (
    director_key,
    release_key,
    root_document,
    root_key,
    root_payload,
)
from tests.unit.device.roots import give, refused


def test_keys_without_a_root_key_stay_as_they_are(tmp_path: Path) -> None:
    at = give(tmp_path, {"release": [release_key().entry], "director": [director_key().entry]})

    assert trust.facts(at) == (0, 0, [1, 1])
    assert trust.keys(at, "release") == [release_key().entry]
    assert refused(at, root_document(root_payload(version=1), [root_key()])) == "bad_root"


def test_facts_of_the_newest_document(tmp_path: Path) -> None:
    at = give(tmp_path, root_payload(version=7, epochs=(2, 3), expires=5))

    assert trust.facts(at) == (7, 5, [2, 3])


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"release": 5}', '{"release": [{"kid": 1}]}'])
def test_without_readable_keys_nothing_is_believed(tmp_path: Path, text: str) -> None:
    at = give(tmp_path)
    Path(at, "kiln/trust.json").write_text(text)

    with pytest.raises(RefusedError) as caught:
        trust.keys(at, "release")
    assert caught.value.reason == "bad_signature"


def test_a_trust_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    at = give(tmp_path)
    Path(at, "kiln/trust.json").write_text(json.dumps({**root_payload(), "more": "x" * 9000}))

    with pytest.raises(RefusedError):
        trust.keys(at, "release")
