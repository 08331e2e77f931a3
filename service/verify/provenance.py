"""Provenance, its signature checked and read: what it says of one bundle."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SslibError
from securesystemslib.signer import Key, SSlibKey

from service.domain import provenance
from service.domain.provenance import BUNDLE, SBOM, SNAPSHOT, invocation, subject_name
from service.verify.keys import Keys
from service.verify.opened import Opened
from service.verify.verdict import Reason, RefutedError

_PARAMETERS = {"repository", "ref", "commit", "boards"}
SCHEME = "rsa-pkcs1v15-sha256"

Looked = TypeVar("Looked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the files of a board come from, as their provenance has it."""

    board: str
    repo: str  # the repository's id
    repository: str  # its address
    ref: str
    commit: str
    builder: str
    invocation: str  # the build, as its provenance calls it; empty when it was not told
    finished_on: str  # empty when it was not told
    snapshot: str  # digest of the source that was built
    image: str  # digest of the build image; empty when the runner did not tell it
    artifacts: Mapping[str, str]  # of this board: name -> digest, the bundle left out
    sbom: str  # digest of this board's bill of materials


def read_provenance(content: bytes, keys: Keys, bundle: Opened) -> Origin:
    """What a provenance says of this bundle. Raises: RefutedError at the first thing that is not right."""

    def look(statement: dict[str, Any], subjects: Mapping[str, str]) -> Origin:
        if subjects.get(subject_name(bundle.board, BUNDLE)) != bundle.digest:
            raise _other_release(bundle.digest)
        definition = statement["predicate"]["buildDefinition"]
        outer, inner = definition["externalParameters"], definition["internalParameters"]
        told = (outer["commit"], inner["repositoryId"], inner["buildNumber"])
        if told != (bundle.commit, bundle.repo, bundle.counter):
            text = "provenance and statement differ: one of them names another commit, repository or build"
            raise RefutedError(Reason.CONTRADICTION, text)
        return _origin(statement, subjects, bundle.board)

    return _read(content, keys, look)


def find_artifact(content: bytes, keys: Keys, digest: str, *, board: str = "") -> tuple[str, Origin]:
    """The name of an artifact by its digest, and where it comes from. Several boards may have the same bytes.

    `board` picks one of them; else it is the first. Raises: RefutedError.
    """

    def look(statement: dict[str, Any], subjects: Mapping[str, str]) -> tuple[str, Origin]:
        found = [name.partition("/") for name, each in subjects.items() if each == digest]
        chosen = next(((of, name) for of, _, name in found if board in ("", of)), None)
        if chosen is None:
            raise _other_release(digest)
        return chosen[1], _origin(statement, subjects, chosen[0])

    return _read(content, keys, look)


def _read(content: bytes, keys: Keys, look: Callable[[dict[str, Any], Mapping[str, str]], Looked]) -> Looked:
    statement = _verified(content, keys)
    try:
        if (statement["_type"], statement["predicateType"]) != (provenance.STATEMENT_TYPE, provenance.PREDICATE_TYPE):
            raise _malformed("it is a statement of another type")
        return look(statement, {each["name"]: each["digest"]["sha256"] for each in statement["subject"]})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed(f"it lacks what Kiln writes: {error}") from error


def check_asked(origin: Origin, *, build: int, board: str) -> None:
    """Raises: RefutedError when it is of another build or board than the one that was asked for, if any was."""
    if board not in ("", origin.board):
        raise RefutedError(Reason.CONTRADICTION, f"it is for {origin.board}, not for {board}")
    if build and origin.invocation != invocation(build):
        text = f"its provenance is of {origin.invocation or 'a build without a name'}, not of {invocation(build)}"
        raise RefutedError(Reason.CONTRADICTION, text)


def check_sbom(content: bytes, origin: Origin) -> None:
    """Raises: RefutedError when it is not the one that was made with the bundle."""
    if hashlib.sha256(content).hexdigest() != origin.sbom:
        raise RefutedError(Reason.SBOM_MISMATCH, "the bill of materials is not the one that provenance names")


def _verified(content: bytes, keys: Keys) -> dict[str, Any]:
    """The statement of an envelope. The envelope's bytes are not parsed any further before its signature is good."""
    try:
        envelope = Envelope.from_dict(json.loads(content))
        payload_type = str(envelope.payload_type)
    except (SslibError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _malformed("it is no DSSE envelope") from error
    known: list[Key] = [SSlibKey.from_crypto(key, keyid=name, scheme=SCHEME) for name, key in keys.items()]
    if not set(envelope.signatures) & set(keys):
        signers = ", ".join(sorted(envelope.signatures))[:80]
        raise RefutedError(
            Reason.UNKNOWN_KEY, f"the provenance is signed by the key {signers!a}, not by the release key"
        )
    try:
        envelope.verify(known, 1)
    except (SslibError, ValueError) as error:
        raise RefutedError(Reason.BAD_ENVELOPE, "the signature of the provenance does not verify") from error
    if payload_type != provenance.PAYLOAD_TYPE:
        raise _malformed(f"its payload is {payload_type[:80]!a}, not an in-toto statement")
    try:
        statement = json.loads(envelope.payload)
    except (ValueError, RecursionError) as error:
        raise _malformed("its payload is not JSON") from error
    if not isinstance(statement, dict):
        raise _malformed("its payload is not a statement")
    return statement


def _origin(statement: dict[str, Any], subjects: Mapping[str, str], board: str) -> Origin:
    definition = statement["predicate"]["buildDefinition"]
    run = statement["predicate"]["runDetails"]
    if definition["buildType"] != provenance.BUILD_TYPE:
        raise _malformed(f"its build type is {str(definition['buildType'])[:80]!a}")
    outer = definition["externalParameters"]
    if unknown := set(outer) - _PARAMETERS:  # as SLSA wants it: nobody knows what they did to the build
        raise _malformed(f"it has parameters that are not known here: {', '.join(sorted(unknown))[:80]!a}")
    dependencies = definition["resolvedDependencies"]
    images = [each for each in dependencies if board in each.get("annotations", {}).get("boards", ())]
    prefix = subject_name(board, "")
    return Origin(
        board=board,
        repo=str(definition["internalParameters"]["repositoryId"]),
        repository=str(outer["repository"]),
        ref=str(outer["ref"]),
        commit=str(outer["commit"]),
        builder=str(run["builder"]["id"]),
        invocation=str(run["metadata"].get("invocationId", "")),
        finished_on=str(run["metadata"].get("finishedOn", "")),
        snapshot=_digest_of(dependencies, SNAPSHOT),
        image=str(images[0]["digest"]["sha256"]) if images else "",
        artifacts={
            name.removeprefix(prefix): digest
            for name, digest in subjects.items()
            if name.startswith(prefix) and name != subject_name(board, BUNDLE)
        },
        sbom=_digest_of(run["byproducts"], subject_name(board, SBOM)),
    )


def _digest_of(descriptors: list[dict[str, Any]], name: str) -> str:
    found = {each.get("name"): str(each["digest"]["sha256"]) for each in descriptors if "sha256" in each["digest"]}
    return found[name]


def _other_release(digest: str) -> RefutedError:
    text = f"the provenance is of another release: it does not name this file, {digest}"
    return RefutedError(Reason.NOT_A_SUBJECT, text)


def _malformed(what: str) -> RefutedError:
    return RefutedError(Reason.MALFORMED_PROVENANCE, f"this is no provenance of Kiln: {what}")
