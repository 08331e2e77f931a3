"""One-time codes: how they are written, and what is made of them."""

import pytest
from hypothesis import given, strategies as st

from service.domain import claim as domain
from service.domain.device import device_id
from service.domain.errors import BadInputError
from service.domain.repository import RepositoryId


@given(st.binary(min_size=domain.ENTROPY_BYTES, max_size=32))
def test_a_code_is_read_however_it_was_written_down(entropy: bytes) -> None:
    code = domain.code_of(entropy)
    plain = domain.plain(code)
    sloppy = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")

    assert [len(each) for each in code.split("-")] == [5, 5, 5, 5]
    assert domain.plain(sloppy) == plain
    assert sum(domain.ALPHABET.index(char) << 5 * place for place, char in enumerate(plain)) == int.from_bytes(
        entropy[: domain.ENTROPY_BYTES], "big"
    ) % (1 << 100)


@pytest.mark.parametrize("text", ["", "x" * 20, "U" * 20, "0" * 19, "0" * 21, "É" * 20])
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        domain.plain(text.replace("x", "%"))


@given(st.binary(min_size=13, max_size=13), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_nothing_that_travels_tells_what_does_not(entropy: bytes, seed: bytes, other: bytes) -> None:
    code = domain.code_of(entropy)
    proof = domain.derived(code, "proof", seed)
    made = [domain.token_of(code, seed), domain.key_of(code, seed).hex(), domain.answer_key(code, seed).hex()]

    assert len({proof.hex(), domain.derived(code, "name").hex(), *made}) == 5
    assert domain.is_proven(code, seed, proof)
    assert domain.is_proven(code, other, proof) is (other == seed)


@pytest.mark.parametrize(
    ("repository", "word"), [("github/acme/Blink", "blink"), ("gitlab/a/ж", "device"), ("github/a/x_y.z", "x-y-z")]
)
def test_an_id_that_is_made_is_one(repository: str, word: str) -> None:
    made = domain.made_id(RepositoryId(repository), b"\xff\x00\x11\x22\x33")

    assert device_id(made) == made
    assert made.startswith(f"{word}-")
