"""`kiln verify` of provenance: envelopes and statements that are not what they should be."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from service.verify.keys import read_keys
from service.verify.opened import open_bundle
from service.verify.provenance import Origin, read_provenance
from service.verify.verdict import Reason, RefutedError
from tests.fakes.signing import canonical, foreign_key
from tests.fakes.statements import envelope, statement_in
from tests.unit.service.verify.conftest import DEFINITION, Desk, Release, changed


def test_an_envelope_that_was_changed_is_refuted(desk: Desk) -> None:
    fields = json.loads(desk.path("provenance.json").read_bytes())
    statement = statement_in(desk.path("provenance.json").read_bytes())
    statement["predicate"]["buildDefinition"]["externalParameters"]["commit"] = "0" * 40
    fields["payload"] = base64.b64encode(canonical(statement)).decode()
    desk.lay("provenance.json", json.dumps(fields).encode())

    assert desk.verify() == (1, Reason.BAD_ENVELOPE.value)


def test_an_envelope_of_another_signer_is_refuted(desk: Desk) -> None:
    payload = canonical(statement_in(desk.path("provenance.json").read_bytes()))

    desk.lay("provenance.json", envelope(payload, foreign_key()))
    assert desk.verify() == (1, Reason.UNKNOWN_KEY.value)
    desk.lay("provenance.json", envelope(payload, foreign_key(), kid=desk.key.kid))
    assert desk.verify() == (1, Reason.BAD_ENVELOPE.value)


def test_a_statement_of_a_bundle_is_no_provenance(desk: Desk) -> None:
    """The same key signs both: what it signed for one purpose is worth nothing for the other."""
    bundle = desk.path("bundle.kiln").read_bytes()
    head, payload, signature = bundle[6 : bundle.index(b"\n", 6)].split(b".")
    fields = {
        "payload": base64.b64encode(head + b"." + payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [
            {
                "keyid": desk.key.kid,
                "sig": base64.b64encode(base64.urlsafe_b64decode(signature + b"==")).decode(),
            }
        ],
    }
    desk.lay("provenance.json", json.dumps(fields).encode())

    assert desk.verify() == (1, Reason.BAD_ENVELOPE.value)


def test_provenance_of_another_release_is_refuted(desk: Desk, release: Release) -> None:
    desk.lay("provenance.json", release.other)

    assert desk.verify() == (1, Reason.NOT_A_SUBJECT.value)


LIES = [
    ("_type", "https://in-toto.io/Statement/v0.1", Reason.MALFORMED_PROVENANCE),
    ("predicateType", "https://slsa.dev/provenance/v0.2", Reason.MALFORMED_PROVENANCE),
    ("predicate", {}, Reason.MALFORMED_PROVENANCE),
    ("predicate", [], Reason.MALFORMED_PROVENANCE),
    (f"{DEFINITION}/buildType", "https://example.org/other", Reason.MALFORMED_PROVENANCE),
    (f"{DEFINITION}/resolvedDependencies", [], Reason.MALFORMED_PROVENANCE),
    (f"{DEFINITION}/externalParameters/compiler", "mine", Reason.MALFORMED_PROVENANCE),
    ("subject", [], Reason.NOT_A_SUBJECT),
    ("subject", "all", Reason.MALFORMED_PROVENANCE),
    (f"{DEFINITION}/externalParameters/commit", "0" * 40, Reason.CONTRADICTION),
    (f"{DEFINITION}/internalParameters/repositoryId", "local/acme/other", Reason.CONTRADICTION),
    (f"{DEFINITION}/internalParameters/buildNumber", 7, Reason.CONTRADICTION),
]


@pytest.mark.parametrize(("path", "value", "reason"), LIES, ids=range(len(LIES)))
def test_a_signed_statement_is_looked_at_all_the_same(desk: Desk, path: str, value: Any, reason: Reason) -> None:
    statement = statement_in(desk.path("provenance.json").read_bytes())
    desk.lay("provenance.json", envelope(canonical(changed(statement, path, value)), desk.key))

    assert desk.verify() == (1, reason.value)


def test_a_subject_of_another_name_or_digest_is_not_this_bundle(desk: Desk) -> None:
    statement = statement_in(desk.path("provenance.json").read_bytes())
    at = next(at for at, each in enumerate(statement["subject"]) if each["name"] == "unix/bundle.kiln")

    for path, value in ((f"subject/{at}/digest/sha256", "0" * 64), (f"subject/{at}/name", "esp32-generic/bundle.kiln")):
        desk.lay("provenance.json", envelope(canonical(changed(statement, path, value)), desk.key))
        assert desk.verify() == (1, Reason.NOT_A_SUBJECT.value)


def test_a_payload_of_another_type_is_refuted(desk: Desk) -> None:
    payload = canonical(statement_in(desk.path("provenance.json").read_bytes()))
    desk.lay("provenance.json", envelope(payload, desk.key, payload_type="text/plain"))

    assert desk.verify() == (1, Reason.MALFORMED_PROVENANCE.value)


JUNK = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b"null",
    b'{"payload": 1}',
    b'{"payload":"","payloadType":"","signatures":[{}]}',
    b"[" * 9999,
]


@pytest.mark.parametrize("content", JUNK, ids=range(len(JUNK)))
def test_junk_is_no_provenance(desk: Desk, content: bytes) -> None:
    desk.lay("provenance.json", content)

    assert desk.verify() == (1, Reason.MALFORMED_PROVENANCE.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    "subject",
    "subject/0",
    "subject/0/digest",
    "predicate",
    DEFINITION,
    f"{DEFINITION}/externalParameters",
    f"{DEFINITION}/internalParameters",
    f"{DEFINITION}/resolvedDependencies",
    f"{DEFINITION}/resolvedDependencies/1",
    f"{DEFINITION}/resolvedDependencies/1/digest",
    "predicate/runDetails",
    "predicate/runDetails/builder",
    "predicate/runDetails/metadata",
    "predicate/runDetails/byproducts",
]


@given(place=st.sampled_from(PLACES), value=VALUES)
def test_whatever_a_signed_statement_holds_breaks_nothing(release: Release, place: str, value: Any) -> None:
    keys = read_keys(release.files["trust.json"])
    bundle = open_bundle(release.files["bundle.kiln"], keys)
    statement = changed(statement_in(release.files["provenance.json"]), place, value)

    try:
        found: Origin | RefutedError = read_provenance(envelope(canonical(statement), release.key), keys, bundle)
    except RefutedError as error:
        found = error
    assert isinstance(found, Origin | RefutedError)
