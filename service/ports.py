"""The outside world as small protocols with contracts, on one page.

Each has a real adapter in `service.adapters` and the same contract suite in `tests/contract`
runs on every adapter of a port. Adapters translate foreign errors into `service.domain.errors`.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from runners.contract.job import Options
from service.domain.build import JobId
from service.domain.event import Event
from service.domain.first_install import NewBoard
from service.domain.flash import FlashFile
from service.domain.materials import Materials
from service.domain.person import ApiToken, Door, Identity
from service.domain.repository import Check, Repository
from service.domain.root import Key, Role, Root


class Clock(Protocol):
    def now(self) -> datetime.datetime:
        """The time, aware, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes in object storage, named by what they are."""

    digest: str  # SHA-256, hex
    size_bytes: int


class Objects(Protocol):
    """Content-addressed storage. An object, once there, never changes."""

    def put(self, chunks: Iterable[bytes]) -> Stored:
        """Keep these bytes. Safe to repeat: equal bytes are kept once, and appear whole or not at all.

        Raises: ObjectsError.
        """

    def size(self, digest: str) -> int:
        """Bytes of an object. Raises: NotFoundError, ObjectsError."""

    def read(self, digest: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive; to the end when None), in chunks of at most 1 MiB.

        Raises NotFoundError at the call, not at the first chunk; ObjectsError while reading.
        """

    def fetch_url(self, digest: str, *, expires_s: int) -> str:
        """An address that gives this one object to whoever has it, for that long; Range works there."""

    def upload_url(self, key: str, *, max_bytes: int, expires_s: int) -> str:
        """An address that takes one PUT for this key and nothing else, for that long.

        `key` is two or three parts of `[a-z0-9._-]` joined by `/`.
        What is put there is not yet an object: `adopt` it.
        """

    def adopt(self, key: str, *, digest: str, size_bytes: int) -> Stored:
        """Make what was uploaded under `key` an object, if it is what it should be. Safe to repeat.

        The bytes that are checked are the bytes that are kept, whatever is uploaded meanwhile.
        Raises: NotFoundError when nothing was uploaded (and no such object exists);
        BadInputError when the bytes differ from digest or size; ObjectsError.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A root document that somebody asked for."""

    document: bytes
    root: Root  # what it says
    missing: str  # what it still wants of root keys that are not here; empty: it holds already


class Keys(Protocol):
    """The signing keys. Only this port sees private keys."""

    def sign(self, role: Role, payload: bytes) -> str:
        """JWS compact (RFC 7515), RS256, over exactly these bytes; the same bytes give the same JWS.

        `role` is "release" or "director"; its newest key signs.
        """

    def attest(self, role: Role, payload_type: str, payload: bytes) -> bytes:
        """A DSSE envelope (https://github.com/secure-systems-lab/dsse) of these bytes, as JSON with one signature.

        The same bytes give the same envelope: RSASSA-PKCS1-v1_5 with SHA-256, `keyid` as in `public`.
        """

    def public(self, role: Role) -> Key:
        """The key that signs for this role now."""

    def public_pem(self, role: Role) -> str:
        """The same key as PEM, SubjectPublicKeyInfo (RFC 5280, 4.1)."""

    def root(self) -> Root:
        """The newest root document: what devices shall trust."""

    def roots(self) -> list[Root]:
        """All root documents, oldest first."""

    def document(self, version: int) -> bytes | None:
        """A root document as devices fetch it."""

    def rotate(self, role: Role) -> Draft:
        """A new key for this role, trusted beside the older ones. Raises: ConflictError, TooLargeError."""

    def revoke(self, kid: str, *, stolen: bool) -> Draft:
        """Trust this key no more. Of a `stolen` release or director key no other key of its role stays, a new
        one takes its place, and the role's epoch rises. Raises: BadInputError, ConflictError, TooLargeError.
        """

    def take(self, whole: bytes) -> Root:
        """Take a root document that was signed elsewhere, if devices would. Raises: BadInputError."""


class Boms(Protocol):
    def write(self, materials: Materials) -> bytes:
        """A bill of materials, CycloneDX 1.6 as JSON. The same materials give the same bytes."""


class Sources(Protocol):
    def fetch(self, repository: Repository, commit: str) -> Iterator[bytes]:
        """The snapshot of exactly this commit, as a deterministic tar without `.git`.

        Raises: NotFoundError when the commit is gone; SourceError when the forge does not answer;
        TooLargeError over the limits of size or file count.
        """

    def message(self, repository: Repository, commit: str) -> str:
        """What the commit says of itself, of a `file://` repository. Raises: as `fetch`."""

    def heads(self, repository: Repository) -> dict[str, str]:
        """Every branch and tag by its full ref, and its commit (tags peeled). Raises: SourceError."""


class Broker(Protocol):
    """The service's own connection to the MQTT broker."""

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Returns when the broker acknowledged it (QoS 1). Raises: BrokerError, after at most 10 s."""

    def publish_many(self, messages: Iterable[tuple[str, bytes]], *, retain: bool) -> None:
        """The same for (topic, payload) pairs, without waiting for one before the next is sent."""


class BrokerAccounts(Protocol):
    """Who may speak to the broker. docs/ota.md, section Broker, has the rights of a device."""

    def allow(self, device: str, token: str) -> None:
        """The device connects with this token after at most 2 s. Safe to repeat; replaces every older token.

        Who is connected with this very token stays.
        """

    def allow_also(self, device: str, token: str) -> bool:
        """It connects with this token, too, until `allow` says which one stays. Safe to repeat; disturbs nobody.

        False, and nothing is changed, where the broker knows one password of a user.
        """

    def forbid(self, device: str) -> None:
        """It cannot connect any more. Safe to repeat."""

    def names(self) -> set[str]:
        """Every device that has an account."""

    def knows(self, device: str, token: str) -> bool:
        """Whether this device has one, with this token. Does not wait for a broker: where nothing is known yet it says
        yes.
        """

    def close(self) -> None:
        """Leave the broker, for good. Safe to repeat."""


MAX_DELIVERY_BYTES = 25 << 20  # neither forge sends more


class Decoder(Protocol):
    """How one forge signs and words its deliveries. Pure: no I/O, no clock; header names in any case."""

    def verify(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[str],
        *,
        check: Check,
        now: datetime.datetime,
    ) -> None:
        """Return if the raw body came from who knows one of these secrets. An empty secret fits nothing.

        `check` is the proof that our record asks for, where a forge has several. What is said about a refusal depends
        on the request and the time alone, never on our record. Raises: BadSignatureError.
        """

    def decode(self, headers: Mapping[str, str], body: bytes) -> Event:
        """What a verified delivery says. Raises: MalformedError, TooLargeError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A delivery that was durably taken."""

    build_id: str  # empty: none came of it
    build_url: str
    is_new: bool  # False: this delivery came before, and this is the build of that time
    said: str = ""  # for people, where there is no build


class Logs(Protocol):
    """What jobs print, kept while and after they run."""

    def append(self, job: JobId, offset: int, content: bytes) -> int:
        """Take `content`, which begins `offset` bytes into the log, and answer the offset wanted next.

        Bytes that are there already are skipped, so repeating is safe; after a gap nothing is taken.
        """

    def read(self, job: JobId, start: int = 0) -> Iterator[bytes]:
        """What is there now, from byte `start`. Empty for a job that has printed nothing."""


class FlashImages(Protocol):
    """What flashers write to boards. Made on demand: equal files and equal base firmware make equal bytes."""

    def name(self, board: str, options: Options) -> str:
        """The name of the file that `make` would make, found out without making it; empty for a board that has none.

        Raises: NotFoundError with a sentence for people, for example when base firmware is missing.
        """

    def make(self, board: str, options: Options, files: str, new: NewBoard | None) -> FlashFile:
        """From a job's files, by the digest of their archive; with `new` as a board that can be updated.

        Raises: NotFoundError with a sentence for people; ObjectsError.
        """


class Tokens(Protocol):
    """Short proofs that we gave somebody leave for one thing."""

    def issue(self, purpose: str, subject: str, *, expires_s: int) -> str:
        """A token that `check` takes for this purpose until it expires."""

    def check(self, purpose: str, token: str) -> str:
        """Answers the subject. Raises: BadSignatureError when it is not ours, expired, or for another purpose."""


class ApiTokens(Protocol):
    """The words of API tokens; `records.People` says which of them still hold."""

    def write(self, token: ApiToken) -> str:
        """A JWT (RFC 7519) that names the token, its maker, scopes, repository and end."""

    def read(self, text: str) -> ApiToken:
        """What a token says that is ours and has not expired; its name, and when it was made or used, is not in it.

        Raises: BadSignatureError.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInBegun:
    url: str  # of the forge, for the browser
    state: str
    verifier: str  # RFC 7636; for `finish` alone


class SignIn(Protocol):
    """Sign-in with a forge: OAuth 2.0 authorization code (RFC 6749, 4.1) with PKCE (RFC 7636, S256)."""

    def doors(self) -> list[Door]:
        """Where people can sign in now."""

    def begin(self, door: Door, *, redirect: str) -> SignInBegun:
        """`redirect` is where the forge sends the browser back to."""

    def finish(self, door: Door, *, code: str, verifier: str, redirect: str) -> Identity:
        """Trade the code for who this is; the forge's token is dropped afterwards.

        Raises: BadSignatureError when the forge does not take the code; ForgeError when it does not answer properly.
        """
