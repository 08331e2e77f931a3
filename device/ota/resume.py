# A download into a file, taken up where it broke also after a restart or a power cut.
import os

from micropython import const

from ota import download
from ota.reason import RefusedError

_NO_PACK = "no_pack"  # there is none: no refusal, and never reported
_SYNC_BYTES = const(4096)  # a block of flash


class _Part(download.Source):
    # The same for a file of at most `limit` bytes, `at` of which are there already. A server that
    # does not resume makes it start anew: what it holds now may be another file.
    def __init__(self, device, path, limit, idle, at):
        super().__init__(device, path, None, idle)
        self._limit = limit
        self.at = self._from = at

    def _accept(self, answer):
        if answer.status == 404 and self.size is None:
            raise RefusedError(_NO_PACK)
        if answer.status == 416 and self.at:
            # All of it is here already (RFC 9110 section 15.5.17), or it is no part of this file.
            if answer.span == b"bytes */%d" % self.at:
                self.size = self.at
                return
            self._anew()
            self.close()
            return
        super()._accept(answer)
        if self._skip:
            self._anew()

    def _anew(self):
        self.at = self._from = self._skip = 0

    def _expect(self, total):
        if total > self._limit:
            raise RefusedError("too_large", "%d bytes, at most %d" % (total, self._limit))
        if self.size not in (None, total):
            raise RefusedError("download_failed", "another size")
        self.size = total


def to_file(device, path, limit, target, idle):
    """download.to_file()"""
    done = _size(target)
    if done > limit:
        done = 0
    source = _Part(device, path, limit, idle, done)
    view = memoryview(bytearray(512))
    f = open(target, "ab" if done else "wb")
    try:
        while True:
            n = source.readinto(view[: min(len(view), _SYNC_BYTES - done % _SYNC_BYTES)])
            if source.at - n != done:
                done = 0
                f.close()
                f = open(target, "wb")
            if not n:
                return done
            f.write(view[:n])
            done += n
            if not done % _SYNC_BYTES:
                f.close()
                f = open(target, "ab")
    finally:
        f.close()
        source.close()


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0
