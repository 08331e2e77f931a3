"""HTTP to a running Kiln."""

import contextlib
import http.client
import json
import pathlib
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from service.cli.secret_files import secret_file

TIMEOUT_S = 60  # a forge may be asked meanwhile
CHUNK_BYTES = 64 << 10
MAX_SECRET_CHARS = 16 << 10
ONLY_PUBLIC = "no token, so only what is public is listed: set KILN_TOKEN, or run the command where .kiln is"


class CommandError(Exception):
    """What went wrong, for the person at the keyboard. `status` is what the service answered, if it did."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    url: str
    token: str = field(repr=False)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Raises: CommandError with the service's own sentence."""
        with self._ask(method, path, body) as answer:
            return json.load(answer)

    def visible(self, path: str) -> Any:
        """A list of what one may see. Who has no token is told that it is of what is public. Raises: CommandError."""
        found = self.call("GET", path)
        if not self.token:
            print(f"kiln: {ONLY_PUBLIC}", file=sys.stderr)
        return found

    def fetch(self, path: str, *, max_bytes: int) -> bytes:
        """What is served there, as it is. Raises: CommandError."""
        with self._ask("GET", path, None) as answer:
            content = bytes(answer.read(max_bytes + 1))
        if len(content) > max_bytes:
            raise CommandError(f"{path} of {self.url} is larger than {max_bytes} bytes")
        return content

    def save(self, path: str, target: pathlib.Path | None, *, max_bytes: int) -> tuple[pathlib.Path, int]:
        """Write what is served there to `target`, or under the name that the service gives it; path and bytes.

        The file is for its owner alone, and appears whole or not at all. Raises: CommandError.
        """
        with self._ask("GET", path, None) as answer:
            target = target or pathlib.Path(_name_of(answer) or path.rpartition("/")[2])
            try:
                with secret_file(target) as file:
                    size = _copied(answer, file, max_bytes)
            except OSError as error:
                raise CommandError(why_not(target, error)) from error
        return target, size

    def lines(self, path: str) -> Iterator[bytes]:
        """What is served there, line by line as it comes. Raises: CommandError, also when it breaks off."""
        with self._ask("GET", path, None) as answer:
            yield from answer

    @contextlib.contextmanager
    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Iterator[IO[bytes]]:
        leave = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if not self.url.startswith(("http://", "https://")):
            raise CommandError(f"{self.url[:80]!r} is no address of a Kiln: it begins with http:// or https://")
        if not self.token.isascii() or not self.token.isprintable():
            raise CommandError("that is no token: tokens have letters, digits, '-', '_' and '.'")
        request = urllib.request.Request(  # noqa: S310  # the operator's own address
            self.url.rstrip("/") + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={**leave, "Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                yield answer
        except urllib.error.HTTPError as error:
            raise CommandError(_sentence(error), status=error.code) from error
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            raise CommandError(f"no Kiln answers at {self.url}: start it with `kiln serve`, or set KILN_URL") from error


def why_not(path: pathlib.Path, error: OSError) -> str:
    """Why it cannot be written, in one line that names it."""
    if isinstance(error, FileNotFoundError) and not path.parent.exists():
        return f"{path} cannot be written: there is no folder {path.parent}"
    return f"{path} cannot be written: {error.strerror or error}"


def _copied(answer: IO[bytes], file: IO[bytes], max_bytes: int) -> int:
    """Raises: CommandError when it ends early or is too large, OSError of the file."""
    size = 0
    while True:
        try:
            chunk = answer.read(CHUNK_BYTES)
        except (http.client.HTTPException, OSError) as error:
            raise CommandError("the service stopped in the middle of it: its log says why") from error
        size += len(chunk)
        if size > max_bytes:
            raise CommandError(f"it is larger than {max_bytes} bytes")
        if not chunk:
            return size
        file.write(chunk)


def _name_of(answer: Any) -> str:
    """As `Content-Disposition` has it, without any folder."""
    name = answer.headers.get_filename() or ""
    return pathlib.PurePath(name).name


def unreadable(name: str, error: OSError | UnicodeDecodeError) -> str:
    """Why a file that is to hold text cannot be read, in one line that names it."""
    why = (error.strerror or str(error)) if isinstance(error, OSError) else "it is no text in UTF-8"
    return f"{'standard input' if name == '-' else name} cannot be read: {why}"


def read_secret(name: str) -> str:
    """What a file holds, without white space around it; standard input for `-`. Raises: CommandError.

    Never an argument of a command: others on the machine can read those.
    """
    try:
        text = sys.stdin.read(MAX_SECRET_CHARS + 1) if name == "-" else pathlib.Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(unreadable(name, error)) from error
    if not text.strip() or len(text) > MAX_SECRET_CHARS:
        amount = "nothing" if not text.strip() else f"more than {MAX_SECRET_CHARS} characters"
        raise CommandError(f"{'standard input' if name == '-' else name} holds {amount}")
    return text.strip()


def _sentence(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered {error.code}"
