"""Where sealing keys are: in instance.json, or where `KILN_SEALING_KEY` says, a file or a variable.

A place holds one key or several, the one in use first. An older one stays until nothing is sealed with it any more, so
that whoever is cut off in the middle of a change goes on with both.
"""

import json
import pathlib
import re
import secrets
from dataclasses import dataclass, field

from service.adapters.instance import INSTANCE, replace_secret
from service.adapters.sealing import key_id
from service.domain.errors import BadInputError, ConflictError

KEY_BYTES = 32
MAX_KEYS = 32
MAX_FILE_BYTES = 4 << 10
HOW = "openssl rand -hex 32"

_KEY = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKeys:
    """`uri`: `file:///path`, `env:NAME=` and what that variable holds, or empty for instance.json in `data`."""

    uri: str = field(repr=False)
    data: pathlib.Path

    @property
    def place(self) -> str:
        """For people."""
        return self.uri.partition("=")[0] if self.uri.startswith("env:") else self.uri or INSTANCE

    def load(self) -> list[bytes]:
        """All that are here, the one in use first. Those of instance.json open what was sealed before there was another
        place. Raises: BadInputError saying what to fix; never a key.
        """
        own = self._own()
        if not self.uri:
            return own
        named = self._named()
        return [*named, *(each for each in own if each not in named)]

    def rotate(self, used: str) -> list[bytes]:
        """Those that hold from now on, another first than the one with the id `used`.

        instance.json is given a new one. Elsewhere somebody else has put it there: Raises: BadInputError saying how.
        """
        if not self.uri:
            own = self._own()
            if len(own) >= MAX_KEYS:
                raise ConflictError(
                    f"{len(own)} keys are here already: wait until `kiln keys sealing` says that nothing is left"
                )
            self._write(made := [secrets.token_bytes(KEY_BYTES), *own])
            return made
        found = [key_id(each) for each in self._named()]
        if found[0] == used:
            raise BadInputError(f"{self.place} still begins with the key in use: {self._advice()}")
        if used not in found:
            raise BadInputError(
                f"{self.place} lacks the key in use, {used}: leave it there, below the new one, until all is done"
            )
        return self.load()

    def retire(self) -> bool:
        """Forget what instance.json holds beside the key in use: nothing is sealed with it. Whether there was any."""
        own = self._own()
        if self.uri or len(own) < 2:
            return False
        self._write(own[:1])
        return True

    def _advice(self) -> str:
        if self.uri.startswith("env:"):
            return f"put a new one (`{HOW}`) before it, with a space between them, and start Kiln again"
        return f"put a new one (`{HOW}`) on a line above it, and say this again"

    def _own(self) -> list[bytes]:
        kept = json.loads((self.data / INSTANCE).read_text())
        return [bytes.fromhex(each) for each in kept.get("sealing") or [kept["key"]]]

    def _write(self, keys: list[bytes]) -> None:
        path = self.data / INSTANCE
        kept = json.loads(path.read_text())
        replace_secret(path, json.dumps({**kept, "sealing": [each.hex() for each in keys]}))

    def _named(self) -> list[bytes]:
        words = [word for line in self._text().splitlines() if not line.startswith("#") for word in line.split()]
        if not words or len(words) > MAX_KEYS or not all(_KEY.fullmatch(word) for word in words):
            raise BadInputError(
                f"KILN_SEALING_KEY: {self.place} holds 1 to {MAX_KEYS} keys of {2 * KEY_BYTES} hex digits (`{HOW}`), "
                "the one in use first, and nothing else"
            )
        return [bytes.fromhex(word) for word in words]

    def _text(self) -> str:
        if self.uri.startswith("env:"):
            return self.uri.partition("=")[2]
        path = pathlib.Path(self.uri.removeprefix("file://"))
        try:
            with path.open("rb") as file:
                return file.read(MAX_FILE_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(f"KILN_SEALING_KEY: {path} cannot be read: {type(error).__name__}") from error
