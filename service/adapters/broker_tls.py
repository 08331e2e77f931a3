"""The certificate of the embedded broker's TLS listener: taken again when its files change."""

import pathlib
import ssl

from service.domain.errors import BrokerError

_Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """For one thread. `context` stays the same object: a server that was given it uses what was loaded last."""

    def __init__(self, chain: pathlib.Path, key: pathlib.Path) -> None:
        """PEM files. Raises: BrokerError."""
        self._chain, self._key = chain, key
        self._stamp = self._read_stamp()
        self.context = _context()
        self._load(self.context)

    def look(self) -> bool:
        """Take the files again if they changed; whether they did.

        Raises: BrokerError when they are not a pair, as while they are being replaced. Then the old one stays, and
        the next look tries again.
        """
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._load(_context())  # on trial: half of a pair must not get into the context that serves
        self._load(self.context)
        self._stamp = stamp
        return True

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._chain, self._key)
        except (OSError, ssl.SSLError) as error:
            raise BrokerError(f"the broker's certificate {self._chain} cannot be used: {error}") from error

    def _read_stamp(self) -> _Stamp:
        try:
            found = [each.stat() for each in (self._chain, self._key)]
        except OSError as error:
            raise BrokerError(f"the broker's certificate cannot be read: {error}") from error
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)


def _context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made
