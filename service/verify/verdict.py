"""How a check can end."""

import enum


class Reason(enum.Enum):
    """Why a bundle is not what it says it is; the word is what programs look at."""

    MALFORMED_BUNDLE = "malformed_bundle"  # not the format of docs/ota.md
    UNKNOWN_KEY = "unknown_key"  # signed by a key that was not given
    BAD_SIGNATURE = "bad_signature"  # of the statement in the bundle
    DIGEST_MISMATCH = "digest_mismatch"  # the index or a file is not what was signed
    MALFORMED_PROVENANCE = "malformed_provenance"
    BAD_ENVELOPE = "bad_envelope"  # the signature of the provenance does not verify
    NOT_A_SUBJECT = "not_a_subject"  # the provenance is of other files
    CONTRADICTION = "contradiction"  # provenance, statement and the question say different things
    SBOM_MISMATCH = "sbom_mismatch"  # the bill of materials is not the one that provenance names
    SNAPSHOT_MISMATCH = "snapshot_mismatch"  # the source is not the one that provenance names
    REBUILD_FAILED = "rebuild_failed"  # the source does not build
    REBUILD_DIFFERS = "rebuild_differs"  # it builds, to other bytes


class RefutedError(Exception):
    """The bundle, or what is said of it, is not right. The message is for the person who asked."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UndecidedError(Exception):
    """It cannot be told: something that the check needs is missing. The message says what to do."""
