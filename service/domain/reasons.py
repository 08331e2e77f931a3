"""Why a device refused or rolled back, for people: the table of docs/ota.md, and a test holds them to each other."""

REASONS = {
    "bad_signature": "a signature does not verify, or its key is unknown",
    "malformed": "what it was sent is not of the format",
    "wrong_device": "the order is for another device",
    "wrong_board": "the bundle is for another board or .mpy version",
    "wrong_repository": "the bundle is of another repository",
    "wrong_release": "the bundle served is not the release that was asked for",
    "wrong_base": "the pack is for another release than the one that runs",
    "downgrade": "the release is older than what the device has had",
    "replayed": "the order is older than what the device has had",
    "expired": "the order is past its end",
    "bad_root": "the root document may not follow the one before",
    "bad_config": "the configuration cannot be decrypted or read",
    "digest_mismatch": "bytes do not have the promised digest",
    "too_large": "more bytes than promised, or more than fit",
    "bad_path": "a path that a bundle may not hold",
    "no_space": "not enough free space for the other slot",
    "bad_filesystem": "the file system is not littlefs",
    "too_often": "more installs in a day than its flash should bear; it tries again tomorrow",
    "download_failed": "the network failed; it tries again at the next order or start",
    "import_error": "the application raised while starting on trial",
    "crashed": "the application raised later",
    "no_confirm": "the trial ended without a confirmation",
    "unhealthy": "the application's health check said no",
    "native_failed": "the new firmware did not start or did not reach the broker; the one before runs again",
    "agent_failed": "the new agent did not start or did not reach the broker; the one before runs again",
}


def sentence(reason: str) -> str:
    """Empty for a reason that is not known, and for none."""
    return REASONS.get(reason, "")
