"""What the embedded broker keeps: accounts in `broker.db`, which the service alone writes; in `retained.db`, which the
broker alone writes, retained messages and what waits for the service. So neither waits for the other.
"""

import contextlib
import hashlib
import hmac
import pathlib
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping

from service.adapters.broker_packets import Message
from service.adapters.broker_rights import check_device
from service.adapters.broker_session import Spooled
from service.domain.errors import BrokerError

BUSY_S = 5.0
SALT_BYTES = 16
_ACCOUNT = "(device TEXT PRIMARY KEY, salt BLOB NOT NULL, hash BLOB NOT NULL)"
# `also` holds the second token of a device whose token is being changed.
_ACCOUNTS = f"CREATE TABLE IF NOT EXISTS accounts {_ACCOUNT}; CREATE TABLE IF NOT EXISTS also {_ACCOUNT};"
_RETAINED = """
CREATE TABLE IF NOT EXISTS retained (topic TEXT PRIMARY KEY, payload BLOB NOT NULL, qos INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS filters (client TEXT NOT NULL, name TEXT NOT NULL, qos INTEGER NOT NULL,
    PRIMARY KEY (client, name));
CREATE TABLE IF NOT EXISTS waiting (id INTEGER PRIMARY KEY, client TEXT NOT NULL, topic TEXT NOT NULL,
    payload BLOB NOT NULL, qos INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS waiting_by_topic ON waiting (client, topic, id);
CREATE INDEX IF NOT EXISTS waiting_by_client ON waiting (client, id);
"""
# The newest of a topic: so one device that talks a lot puts out nobody else's reports.
MAX_OF_A_TOPIC = 50  # while the service is away
MAX_OF_A_TOPIC_NOW = 5000  # while it is here, and only slow
_TOO_MANY = """
DELETE FROM waiting WHERE client = ? AND topic = ? AND id <=
    (SELECT id FROM waiting WHERE client = ? AND topic = ? ORDER BY id DESC LIMIT 1 OFFSET ?)
"""


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise BrokerError(f"the broker's files failed while {doing}: {error}") from error


def _opened(path: pathlib.Path, schema: str) -> sqlite3.Connection:
    with _translated("opening them"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a commit is on the disk when it returns
        connection.executescript(schema)
        return connection


_ROWS = "SELECT salt, hash FROM accounts WHERE device = ? UNION ALL SELECT salt, hash FROM also WHERE device = ?"


def _known(connection: sqlite3.Connection, device: str, token: str) -> tuple[bytes, bytes] | None:
    """The row of a token that is taken already: who is connected with it has that row's proof, and stays."""
    for salt, expected in connection.execute(_ROWS, (device, device)).fetchall():
        if hmac.compare_digest(expected, _hash(salt, token.encode())):
            return salt, expected
    return None


def _row(token: str) -> tuple[bytes, bytes]:
    salt = secrets.token_bytes(SALT_BYTES)
    return salt, _hash(salt, token.encode())


def _hash(salt: bytes, token: bytes) -> bytes:
    # One round is enough: a token is 256 random bits, so there is no list of likely ones to try.
    return hashlib.sha256(salt + token).digest()


class EmbeddedAccounts:
    """`service.ports.BrokerAccounts` of the embedded broker, from any process: a change counts at once."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._path = folder / "broker.db"
        with contextlib.closing(_opened(self._path, _ACCOUNTS)):
            pass  # made, so that the broker can start before the first device

    def allow(self, device: str, token: str) -> None:
        check_device(device)
        with self._changing() as connection:
            row = _known(connection, device, token) or _row(token)
            connection.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", (device, *row))
            connection.execute("DELETE FROM also WHERE device = ?", (device,))

    def allow_also(self, device: str, token: str) -> bool:
        check_device(device)
        with self._changing() as connection:
            if _known(connection, device, token) is None:
                connection.execute("INSERT OR REPLACE INTO also VALUES (?, ?, ?)", (device, *_row(token)))
        return True

    def forbid(self, device: str) -> None:
        with self._changing() as connection:
            connection.execute("DELETE FROM accounts WHERE device = ?", (device,))
            connection.execute("DELETE FROM also WHERE device = ?", (device,))

    def names(self) -> set[str]:
        with contextlib.closing(_opened(self._path, _ACCOUNTS)) as connection, _translated("reading accounts"):
            return {name for (name,) in connection.execute("SELECT device FROM accounts")}

    def knows(self, device: str, token: str) -> bool:
        # Asked at each request of a device: no more than one look.
        with _translated("reading an account"), contextlib.closing(sqlite3.connect(self._path)) as connection:
            return _known(connection, device, token) is not None

    def close(self) -> None:
        """There is no connection."""

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        # A connection for each change: they are rare, and threads of the service share nothing then.
        with contextlib.closing(_opened(self._path, _ACCOUNTS)) as connection, _translated("writing an account"):
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")


class AccountsReader:
    """The broker's side. For one thread."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._connection = _opened(folder / "broker.db", _ACCOUNTS)
        self._version = self._read_version()

    def proof(self, device: str, token: bytes) -> bytes | None:
        """What `is_valid` takes later, when the token is right; else None. Raises: BrokerError."""
        for salt, expected in self._rows(device):
            if hmac.compare_digest(expected, _hash(salt, token)):
                return salt + expected
        return None

    def knows(self, device: str) -> bool:
        """Raises: BrokerError."""
        return bool(self._rows(device))

    def is_valid(self, device: str, proof: bytes) -> bool:
        """False once the device is forbidden or has another token. Raises: BrokerError."""
        return any(salt + expected == proof for salt, expected in self._rows(device))

    def has_changed(self) -> bool:
        """Whether some account was written since the last call. Raises: BrokerError."""
        before, self._version = self._version, self._read_version()
        return before != self._version

    def close(self) -> None:
        self._connection.close()

    def _rows(self, device: str) -> list[tuple[bytes, bytes]]:
        with _translated("reading an account"):
            return self._connection.execute(_ROWS, (device, device)).fetchall()

    def _read_version(self) -> int:
        with _translated("looking for changed accounts"):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])


class MessageFile:
    """Retained messages, and those that wait for the service, on the disk."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._connection = _opened(folder / "retained.db", _RETAINED)
        self._reader = _opened(folder / "retained.db", _RETAINED)  # it waits for no write
        self._turn = threading.Lock()

    def load(self) -> Iterator[Message]:
        """Before anything else."""
        with _translated("reading retained messages"):
            for topic, payload, qos in self._connection.execute("SELECT topic, payload, qos FROM retained"):
                yield Message(topic, payload, qos, retain=True)

    def write(
        self,
        retained: Iterable[Message],
        waiting: Iterable[Spooled] = (),
        done: Iterable[int] = (),
        *,
        most: int = MAX_OF_A_TOPIC,
    ) -> None:
        """All of them are on the disk when this returns, and those that are done are not; `most` wait of one topic.

        Raises: BrokerError, and then nothing was changed.
        """
        with _translated("writing messages"), self._turn, self._transaction():
            self._connection.executemany("DELETE FROM waiting WHERE id = ?", [(each,) for each in done])
            self._spool(list(waiting), most)
            for message in retained:
                if message.is_clear:
                    self._connection.execute("DELETE FROM retained WHERE topic = ?", (message.topic,))
                else:
                    row = (message.topic, message.payload, message.qos)
                    self._connection.execute("INSERT OR REPLACE INTO retained VALUES (?, ?, ?)", row)

    def waiting(self, client: str, after: int, limit: int) -> list[Spooled]:
        """What waits for this client after that id, in order. Raises: BrokerError."""
        query = "SELECT id, topic, payload, qos FROM waiting WHERE client = ? AND id > ? ORDER BY id LIMIT ?"
        with _translated("reading messages"):
            rows = self._reader.execute(query, (client, after, limit)).fetchall()
        return [Spooled(row[0], client, Message(row[1], row[2], row[3], retain=False)) for row in rows]

    def last_id(self) -> int:
        with _translated("reading messages"):
            return int(self._reader.execute("SELECT coalesce(max(id), 0) FROM waiting").fetchone()[0])

    def filters(self) -> dict[str, dict[str, int]]:
        """Of the clients whose session is kept: filter to QoS."""
        found: dict[str, dict[str, int]] = {}
        with _translated("reading filters"):
            for client, name, qos in self._reader.execute("SELECT client, name, qos FROM filters"):
                found.setdefault(client, {})[name] = qos
        return found

    def keep_filters(self, client: str, filters: Mapping[str, int] | None) -> None:
        """None: its session is gone, with all that waits for it. Raises: BrokerError."""
        with _translated("writing filters"), self._turn, self._transaction():
            self._connection.execute("DELETE FROM filters WHERE client = ?", (client,))
            if filters is None:
                self._connection.execute("DELETE FROM waiting WHERE client = ?", (client,))
            rows = [(client, name, qos) for name, qos in (filters or {}).items()]
            self._connection.executemany("INSERT INTO filters VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        self._connection.close()
        self._reader.close()

    def _spool(self, waiting: list[Spooled], most: int) -> None:
        rows = [(each.id, each.client, each.message.topic, each.message.payload, each.message.qos) for each in waiting]
        self._connection.executemany("INSERT INTO waiting VALUES (?, ?, ?, ?, ?)", rows)
        for client, topic in {(row[1], row[2]) for row in rows}:
            self._connection.execute(_TOO_MANY, (client, topic, client, topic, most))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back already
                self._connection.execute("ROLLBACK")
            raise
