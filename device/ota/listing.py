# The index of a release, looked through before anything of it is used (docs/ota.md, "Index").
# Forgotten after. Memory is 16 bytes a file.
import hashlib

from micropython import const

from ota import bundle
from ota.reason import RefusedError

_FILES_LIMIT = const(512)
_PATH_LIMIT = const(100)
_FOLDER_BLOCKS = const(2)  # littlefs keeps the entries of a folder in a pair of blocks


def blocks(path, statement, size):
    """How many blocks of `size` bytes the files need that the index in the file `path` names.

    Raises RefusedError unless it names what the statement promises.
    """
    index = Index(statement)
    needed = 0
    with open(path, "rb") as f:
        for raw in bundle.lines(f, statement["index"]["size"], memoryview(bytearray(128))):
            needed += -(-index.line(raw)[1] // size)
    index.end()
    return needed + _FOLDER_BLOCKS * (index.folders() + 1)


class Index:
    """The lines of an index, fed in order; paths are checked as they come."""

    def __init__(self, statement):
        self._files = statement["files"]
        self._size = statement["size"]
        self._check_path = check_agent_path if statement.get("type") == "agent" else check_path
        self._last = ""
        # 8 bytes of SHA-256 for each path and each folder, case folded: two of them meet by chance
        # once in 10^13 bundles, and then a good bundle is refused, never a bad one accepted.
        self._paths = bytearray()
        self._folders = bytearray()

    def line(self, raw):
        """(digest hex, size, path) of one line without its end. Raises RefusedError."""
        parts = raw.split(b" ")
        if len(raw) >= bundle.LINE_LIMIT or len(parts) != 3 or len(parts[0]) != 64:
            raise RefusedError("malformed", "index line")
        try:
            digest, number, path = (part.decode() for part in parts)
        except ValueError:  # UnicodeError is one
            raise RefusedError("bad_path", "not ASCII") from None
        if not all(48 <= c <= 57 or 97 <= c <= 102 for c in parts[0]):
            raise RefusedError("malformed", "index line")
        if len(number) > 10 or not parts[1].isdigit() or str(int(number)) != number:
            raise RefusedError("malformed", "index line")
        self._check(path)
        self._files -= 1
        self._size -= int(number)
        if self._files < 0 or self._size < 0:
            raise RefusedError("too_large", "index names more than the statement")
        return digest, int(number), path

    def end(self):
        """Raise RefusedError unless every file and byte of the statement was named."""
        if self._files or self._size:
            raise RefusedError("malformed", "index names less than the statement")

    def folders(self):
        """How many folders the paths so far need."""
        return len(self._folders) // 8

    def _check(self, path):
        self._check_path(path)
        folded = path.lower()
        if path <= self._last or _mark(folded) in self._paths or _mark(folded) in self._folders:
            raise RefusedError("bad_path", "order or repetition: " + path)
        cut = folded.find("/")
        while cut >= 0:
            mark = _mark(folded[:cut])
            if mark in self._paths:
                raise RefusedError("bad_path", "a file is a folder: " + path)
            if mark not in self._folders:
                self._folders += mark
            cut = folded.find("/", cut + 1)
        if len(self._folders) > 8 * _FILES_LIMIT:
            raise RefusedError("bad_path", "more than %d folders" % _FILES_LIMIT)
        self._last = path
        self._paths += _mark(folded)


def check_path(path):
    """Raise RefusedError unless `path` may stand in an index."""
    if not 1 <= len(path) <= _PATH_LIMIT:
        raise RefusedError("bad_path", "length %d" % len(path))
    for part in path.split("/"):
        if part in ("", ".", "..") or not _plain(part):
            raise RefusedError("bad_path", repr(path))
    folded = path.lower()
    name = folded[:-4] if folded[-4:] == ".mpy" else folded[:-3] if folded[-3:] == ".py" else ""
    if name in ("boot", "ota", "ota_loader") or folded == "ota" or folded[:4] == "ota/":
        raise RefusedError("bad_path", path + " belongs to the agent")


def check_agent_path(path):
    """The same of a release of the agent: ota/<name>.mpy."""
    name = path[4:-4]
    if len(path) > _PATH_LIMIT or path != "ota/" + name + ".mpy" or not name:
        raise RefusedError("bad_path", repr(path))
    if not _plain(name):
        raise RefusedError("bad_path", repr(path))


def _plain(name):
    # By bytes: MicroPython keeps each character that a loop sees, for ever.
    return all(
        97 <= c <= 122 or 48 <= c <= 57 or 65 <= c <= 90 or c in (45, 46, 95)
        for c in name.encode()
    )


def _mark(path):
    return hashlib.sha256(path.encode()).digest()[:8]
