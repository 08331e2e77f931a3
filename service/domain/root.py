"""Root documents: which keys hold which role, version by version (docs/ota.md, Root document)."""

import base64
import binascii
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from service.domain.bundle import canonical
from service.domain.errors import BadInputError, BadSignatureError, ConflictError, MalformedError, TooLargeError

Role = Literal["root", "release", "director"]

ROLES: tuple[Role, ...] = ("root", "release", "director")
ONLINE: tuple[Role, ...] = ("release", "director")
MAGIC = b"KILNR1\n"
MAX_DOCUMENT_BYTES = 8192  # devices hold one in their heap
MAX_KEYS = 8  # of a role
MAX_NUMBER = 2**31 - 1
EXPONENT = 65537
MIN_BITS, MAX_BITS = 2048, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public RSA key, as devices have it."""

    kid: str
    n: int
    e: int = EXPONENT

    def entry(self) -> dict[str, object]:
        return {"kid": self.kid, "n": f"{self.n:x}", "e": self.e}


Check = Callable[[Key, bytes, bytes], bool]  # key, message, signature: whether it is that key's (RS256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """What a root document says. The newest key of a role, which is the last, is the one that signs."""

    version: int
    expires: int = 0  # Unix seconds, 0 for never
    threshold: int = 1
    keys: Mapping[Role, tuple[Key, ...]]
    epochs: Mapping[Role, int]  # of release and director

    def payload(self) -> bytes:
        return canonical(self.entries())

    def entries(self) -> dict[str, Any]:
        """`trust.json` of a device."""
        return {
            "v": 1,
            "type": "root",
            "version": self.version,
            "expires": self.expires,
            "threshold": self.threshold,
            "epochs": {role: self.epochs[role] for role in ONLINE},
            **{role: [each.entry() for each in self.keys[role]] for role in ROLES},
        }

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Raises: MalformedError."""
        try:
            said = json.loads(payload)
            if (said["v"], said["type"]) != (1, "root"):
                raise MalformedError("this is no root document of version 1")
            root = cls(
                version=_number(said["version"], 1, MAX_NUMBER),
                expires=_number(said["expires"], 0, 2**63 - 1),
                threshold=_number(said["threshold"], 1, MAX_KEYS),
                keys={role: _keys(said[role]) for role in ROLES},
                epochs={role: _number(said["epochs"][role], 1, MAX_NUMBER) for role in ONLINE},
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise MalformedError("this is no root document") from error
        if root.payload() != payload:
            raise MalformedError("this root document is not written in the one way that there is")
        if root.threshold > len({each.n for each in root.keys["root"]}):
            raise MalformedError("no number of signatures could ever follow this root document")
        return root

    def role_of(self, kid: str) -> Role:
        """Raises: BadInputError for a key that holds no role."""
        found = next((role for role in ROLES for each in self.keys[role] if each.kid == kid), None)
        if found is None:
            raise BadInputError(f"no key {kid[:32]!r} holds a role now: `kiln keys list` names those that do")
        return found

    def holds(self, role: Role, kid: str) -> bool:
        return any(each.kid == kid for each in self.keys[role])

    def added(self, role: Role, key: Key) -> "Root":
        """The next document: this key is the role's newest. Raises: ConflictError."""
        if len(self.keys[role]) >= MAX_KEYS:
            raise ConflictError(f"{MAX_KEYS} keys hold the role {role}: revoke one first")
        return self._next(role, (*self.keys[role], key))

    def without(self, kid: str) -> "Root":
        """The next document: this key holds nothing any more. Raises: ConflictError when nothing would be left."""
        role = self.role_of(kid)
        left = tuple(each for each in self.keys[role] if each.kid != kid)
        if not left or (role == "root" and len(left) < self.threshold):
            raise ConflictError(
                f"{kid} is needed for the role {role}: give it another by `kiln keys rotate {role}` first"
            )
        return self._next(role, left)

    def begun_again(self, role: Role, key: Key) -> "Root":
        """The next document after a theft: this key alone holds the role, and its floors start at 0 (its epoch)."""
        following = self._next(role, (key,))
        return dataclasses.replace(following, epochs={**self.epochs, role: self.epochs[role] + 1})

    def _next(self, role: Role, keys: tuple[Key, ...]) -> "Root":
        return dataclasses.replace(self, version=self.version + 1, keys={**self.keys, role: keys})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A root document as it travels: the payload, and one line a signature (`<header>.<signature>`, base64url)."""

    payload: bytes
    lines: tuple[bytes, ...] = ()

    def encoded(self) -> bytes:
        """Raises: TooLargeError."""
        whole = MAGIC + b"".join(each + b"\n" for each in (encode(self.payload), *self.lines))
        if len(whole) > MAX_DOCUMENT_BYTES:
            raise TooLargeError(f"this root document has over {MAX_DOCUMENT_BYTES} bytes: revoke an old key first")
        return whole

    @classmethod
    def decode(cls, whole: bytes) -> Self:
        """Raises: MalformedError, TooLargeError. Nothing of it is believed yet."""
        if len(whole) > MAX_DOCUMENT_BYTES:
            raise TooLargeError(f"a root document has at most {MAX_DOCUMENT_BYTES} bytes")
        if not whole.startswith(MAGIC) or not whole.endswith(b"\n"):
            raise MalformedError("this is no root document: it begins with KILNR1 and ends with a line's end")
        body, *lines = whole[len(MAGIC) : -1].split(b"\n")
        return cls(payload=decode(body), lines=tuple(lines))

    def signers(self, keys: Iterable[Key], check: Check) -> set[int]:
        """The moduli of those of `keys` that signed it: neither a second signature nor a second name counts twice."""
        found = set()
        for line in self.lines:
            header, _, signature = line.partition(b".")
            for key in keys:
                message = header + b"." + encode(self.payload)
                if header == header_of(key.kid) and check(key, message, decode(signature)):
                    found.add(key.n)
        return found

    def signed_with(self, line: bytes) -> "Document":
        return dataclasses.replace(self, lines=(*self.lines, line))


def follow(before: Root, document: Document, check: Check) -> Root:
    """What the document says, if devices that have `before` take it: the same rules as theirs.

    Raises: MalformedError, ConflictError for one that may not follow, BadSignatureError naming what is missing.
    """
    after = Root.parse(document.payload)
    if after.version != before.version + 1:
        raise ConflictError(f"root document {after.version} does not follow {before.version}")
    for role in ONLINE:
        stays = {each.n for each in before.keys[role]} & {each.n for each in after.keys[role]}
        if after.epochs[role] < before.epochs[role] or (after.epochs[role] > before.epochs[role] and stays):
            raise ConflictError(f"the epoch of {role} may only rise, and only when no key of before stays")
    for root in (before, after):
        missing = root.threshold - len(document.signers(root.keys["root"], check))
        if missing > 0:
            kids = ", ".join(each.kid for each in root.keys["root"])
            text = f"signatures of the root keys of version {root.version} ({kids})"
            raise BadSignatureError(f"{missing} more wanted: {text}")
    return after


def header_of(kid: str) -> bytes:
    """The one protected header that a key's signatures have, base64url."""
    return encode(f'{{"alg":"RS256","kid":"{kid}"}}'.encode())


def encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """Raises: MalformedError for any but the one spelling."""
    try:
        raw = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("this root document is not in base64url") from error
    if encode(raw) != text:
        raise MalformedError("this root document is not in base64url")
    return raw


def signer_of(token: str) -> str:
    """The key id that a JWS of ours names; empty for what is none."""
    try:
        return str(json.loads(decode(token.partition(".")[0].encode()))["kid"])
    except (MalformedError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def role_named(text: str) -> Role:
    """Raises: BadInputError."""
    if text not in ROLES:
        raise BadInputError(f"a role is {', '.join(ROLES)}, not {text[:40]!r}")
    return text


def _keys(entries: list[dict[str, Any]]) -> tuple[Key, ...]:
    if not 1 <= len(entries) <= MAX_KEYS:
        raise MalformedError(f"a role has 1 to {MAX_KEYS} keys")
    found = tuple(Key(kid=str(each["kid"]), n=int(str(each["n"]), 16), e=each["e"]) for each in entries)
    for key in found:
        if key.e != EXPONENT or not MIN_BITS <= key.n.bit_length() <= MAX_BITS:
            raise MalformedError(f"{key.kid[:32]!a} is no RSA key of {MIN_BITS} to {MAX_BITS} bits")
    return found


def _number(value: Any, low: int, high: int) -> int:  # of JSON
    if type(value) is not int or not low <= value <= high:
        raise MalformedError(f"a number of this root document is not {low} to {high}")
    return value


def retired(roots: list[Root], role: Role) -> list[Key]:
    """Keys that held this role once and were let go in an orderly way, by all root documents, oldest first.

    What they signed meanwhile is genuine. Of a theft (the epoch rose) no key of before is here: who has a stolen key
    signs as of any day that he likes.
    """
    found: dict[int, Key] = {}
    for before, after in itertools.pairwise(roots):
        gone = [each for each in before.keys[role] if each not in after.keys[role]]
        was_theft = role in after.epochs and after.epochs[role] > before.epochs[role]
        found |= {} if was_theft else {each.n: each for each in gone}
    now = {each.n for each in roots[-1].keys[role]}
    return [each for each in found.values() if each.n not in now]
