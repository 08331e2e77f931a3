"""HTTP to a running Kiln."""

import json
import pathlib
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 60  # a forge may be asked meanwhile
MAX_SECRET_CHARS = 16 << 10


class CommandError(Exception):
    """What went wrong, for the person at the keyboard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    url: str
    token: str = field(repr=False)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Raises: CommandError with the service's own sentence."""
        request = urllib.request.Request(  # noqa: S310  # the operator's own address
            self.url.rstrip("/") + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise CommandError(_sentence(error)) from error
        except (urllib.error.URLError, TimeoutError) as error:
            raise CommandError(f"no Kiln answers at {self.url}: start it with `kiln serve`, or set KILN_URL") from error


def read_secret(name: str) -> str:
    """What a file holds, without white space around it; standard input for `-`. Raises: CommandError.

    Never an argument of a command: others on the machine can read those.
    """
    try:
        text = sys.stdin.read(MAX_SECRET_CHARS + 1) if name == "-" else pathlib.Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read: {error}") from error
    if not text.strip() or len(text) > MAX_SECRET_CHARS:
        raise CommandError(f"{name} holds no token")
    return text.strip()


def _sentence(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered {error.code}"
