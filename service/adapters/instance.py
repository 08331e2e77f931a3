"""What makes this instance itself: its id and its secrets, made at the first start."""

import json
import os
import pathlib
import secrets
from dataclasses import dataclass, field

from service.domain.errors import BadInputError

INSTANCE = "instance.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    id: str  # begins the names of its containers and runners
    key: bytes = field(repr=False)  # signs URLs and tokens
    mqtt_password: str = field(repr=False)  # of the service's user at the broker
    admin_token: str = field(repr=False)


def load_instance(data: pathlib.Path) -> Instance:
    """Read `<data>/instance.json`, or make it (mode 0600). Raises: BadInputError naming what cannot be used."""
    try:
        return _instance(data)
    except OSError as error:
        raise BadInputError(f"{error.filename or data} cannot be used: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{data / INSTANCE} is damaged: restore it from a backup") from error


def _instance(data: pathlib.Path) -> Instance:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)  # the database in it holds secrets of hooks
    path = data / INSTANCE
    if not path.exists():
        made = {
            "id": "k" + secrets.token_hex(3),
            "key": secrets.token_hex(32),
            "mqtt_password": secrets.token_urlsafe(24),
        }
        write_secret(path, json.dumps(made))
    token = data / "admin.token"
    if not token.exists():
        write_secret(token, secrets.token_urlsafe(24) + "\n")
    kept = json.loads(path.read_text())
    return Instance(
        id=kept["id"],
        key=bytes.fromhex(kept["key"]),
        mqtt_password=kept["mqtt_password"],
        admin_token=token.read_text().strip(),
    )


def replace_secret(path: pathlib.Path, text: str) -> None:
    """Whole or not at all, instead of what is there, readable by this user only; it outlasts a power cut."""
    _temporary(path, text).replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _temporary(path: pathlib.Path, text: str) -> pathlib.Path:
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def write_secret(path: pathlib.Path, text: str) -> None:
    """Whole or not at all, readable by this user only. The first of two processes that make it wins."""
    temporary = _temporary(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
