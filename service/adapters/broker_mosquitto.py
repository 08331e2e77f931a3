"""Accounts of a Mosquitto broker (2.0 or later): its password file and ACL file, reloaded by SIGHUP."""

import base64
import contextlib
import fcntl
import hashlib
import hmac
import os
import pathlib
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from service.adapters.broker_rights import (
    FOR_A_DEVICE,
    FOR_HOME,
    HOME,
    OF_A_DEVICE,
    OF_HOME,
    OF_THE_SERVICE,
    ROOT,
    SERVICE,
    Home,
    check_device,
)
from service.domain.errors import BrokerError

MAX_PACKET_BYTES = 64 << 10  # Home Assistant asks for 500 topics in one packet
MAX_MESSAGE_BYTES = 16 << 10
ITERATIONS = 101  # mosquitto_passwd's own; tokens are random, so more would only cost time
SALT_BYTES = 12
MAX_QUEUED = 200_000  # messages for one client; a report has at most 1 KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A second listener; Mosquitto reads the files again when it gets SIGHUP."""

    port: int
    certificate: pathlib.Path
    key: pathlib.Path


def configuration(folder: pathlib.Path, *, host: str, port: int, tls: Tls | None = None) -> str:
    """A mosquitto.conf that keeps the same promises as the embedded broker, as far as Mosquitto can."""
    return (
        listeners(host=host, port=port, tls=tls)
        + f"""password_file {folder / "passwords"}
acl_file {folder / "acl"}
pid_file {folder / "mosquitto.pid"}
# The client id is the user name, whatever a client says: nobody closes another's connection.
use_username_as_clientid true
"""
        + promises(folder)
    )


def listeners(*, host: str, port: int, tls: Tls | None) -> str:
    plain = f"listener {port} {host}\nallow_anonymous false\n"
    if tls is None:
        return plain
    files = f"certfile {tls.certificate}\nkeyfile {tls.key}\ntls_version tlsv1.2\n"  # that or later
    return f"{plain}listener {tls.port} {host}\n{files}"


def promises(folder: pathlib.Path) -> str:
    return f"""max_packet_size {MAX_PACKET_BYTES}
message_size_limit {MAX_MESSAGE_BYTES}
persistence true
persistence_location {folder}/
# Written once a second: kill -9 can lose the last one. On every change would take 4 ms for each notice.
autosave_on_changes false
autosave_interval 1
max_inflight_messages 1000
# What devices say while the service is away: half a day of ten thousand devices, in memory.
max_queued_messages {MAX_QUEUED}
"""


def acl(home: Home | None) -> str:
    """The rights of everybody, as an ACL file says them."""
    lines = [f"user {SERVICE}", *(f"topic write {ROOT}/+/{kind}" for kind in OF_THE_SERVICE), f"topic read {ROOT}/#"]
    if home is not None:
        lines += [f"topic write {home.discovery}", f"topic read {home.status}", "", f"user {HOME}"]
        lines += [f"topic write {each}" for each in (*(f"{ROOT}/+/{kind}" for kind in OF_HOME), home.status)]
        lines += [f"topic read {each}" for each in (*(f"{ROOT}/+/{kind}" for kind in FOR_HOME), f"{home.prefix}/#")]
    lines += ["", *(f"pattern read {ROOT}/%u/{kind}" for kind in FOR_A_DEVICE)]
    lines += [f"pattern write {ROOT}/%u/{kind}" for kind in OF_A_DEVICE]
    return "\n".join([*lines, ""])


class MosquittoAccounts:
    """`service.ports.BrokerAccounts` in a folder that Mosquitto reads; several processes may write it.

    Mosquitto must have been started with files of these names, see `configuration`, and with `pid_file`.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        service_password: str,
        pid_file: pathlib.Path | None = None,
        home: Home | None = None,
    ) -> None:
        """`pid_file` is `mosquitto.pid` in the folder when not given. Raises: BrokerError."""
        self._folder = folder
        self._pid_file = pid_file or folder / "mosquitto.pid"
        with _translated():
            folder.mkdir(parents=True, exist_ok=True)
            self._replace("acl", acl(home))
        self._change(SERVICE, service_password)
        self._change(HOME, home.password if home else None)

    def allow(self, device: str, token: str) -> None:
        self._change(check_device(device), token)

    def allow_also(self, device: str, token: str) -> bool:
        check_device(device)
        return False  # a password file has one line for a user

    def forbid(self, device: str) -> None:
        self._change(check_device(device), None)

    def names(self) -> set[str]:
        with _translated():
            return {line.partition(":")[0] for line in self._lines()} - {SERVICE, HOME}

    def knows(self, device: str, token: str) -> bool:
        with _translated():
            return any(_is_of(line, token) for line in self._lines() if line.startswith(f"{device}:"))

    def close(self) -> None:
        """There is no connection."""

    def _lines(self) -> list[str]:
        path = self._folder / "passwords"
        return path.read_text().splitlines() if path.exists() else []

    def _change(self, user: str, password: str | None) -> None:
        with _translated(), self._locked():
            kept = [line for line in self._lines() if not line.startswith(f"{user}:")]
            if password is not None:
                kept.append(f"{user}:{_hashed(password)}")
            self._replace("passwords", "".join(f"{line}\n" for line in kept))
            self._reload()

    def _reload(self) -> None:
        try:
            pid = int(self._pid_file.read_text())
            # A pid file outlives its process, and the number may be another's by now.
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "mosquitto":
                os.kill(pid, signal.SIGHUP)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return  # it does not run, and reads its files when it starts

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _replace(self, name: str, text: str) -> None:
        path = self._folder / name
        new = path.with_suffix(f".{secrets.token_hex(4)}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BrokerError(f"Mosquitto's files could not be changed: {error.strerror}") from error


def _is_of(line: str, password: str) -> bool:
    """Whether a line of the file was made here, of this password."""
    _, _, kept = line.partition(":")
    try:
        _, _, _, salt, _ = kept.split("$")
        return hmac.compare_digest(kept, _hashed(password, base64.b64decode(salt)))
    except ValueError:
        return False  # by another hand


def _hashed(password: str, salt: bytes = b"") -> str:
    salt = salt or secrets.token_bytes(SALT_BYTES)
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"
