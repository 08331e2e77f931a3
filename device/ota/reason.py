# Why a release is not running: the reason codes of docs/ota.md, and the error that carries one.

BAD_SIGNATURE = "bad_signature"
MALFORMED = "malformed"
WRONG_DEVICE = "wrong_device"
WRONG_BOARD = "wrong_board"
WRONG_REPOSITORY = "wrong_repository"
WRONG_RELEASE = "wrong_release"
DOWNGRADE = "downgrade"
REPLAYED = "replayed"
EXPIRED = "expired"
DIGEST_MISMATCH = "digest_mismatch"
TOO_LARGE = "too_large"
BAD_PATH = "bad_path"
NO_SPACE = "no_space"
DOWNLOAD_FAILED = "download_failed"
IMPORT_ERROR = "import_error"
CRASHED = "crashed"
NO_CONFIRM = "no_confirm"
UNHEALTHY = "unhealthy"


class RefusedError(Exception):
    """A message, a bundle or a transfer that this device does not accept, and why."""

    def __init__(self, reason, detail=""):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
