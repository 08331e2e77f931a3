"""The signing keys and the root documents, in a folder that only the service may read."""

import collections
import json
import pathlib
import threading
from collections import Counter

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from service.adapters import key_files
from service.domain.errors import BadInputError, BadSignatureError
from service.domain.root import ONLINE, ROLES, Document, Key, Role, Root, follow
from service.ports import Draft

SCHEME = "rsa-pkcs1v15-sha256"  # of envelopes; PSS would give other bytes each time


class FileKeys:
    """`service.ports.Keys` over `<folder>/*.pem` and `<folder>/roots/<version>`.

    The newest root document says which keys hold; its last key of a role signs. So one rename changes them all.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._roots = folder, folder / "roots"
        self._roots.mkdir(mode=0o700, exist_ok=True)
        self._lock, self._count_lock = threading.Lock(), threading.Lock()
        self._uses: Counter[tuple[Role, str]] = collections.Counter()
        self._root = self._newest() or self._first()
        self._private = self._signers(self._root)

    def sign(self, role: Role, payload: bytes) -> str:
        key, kid = self._taken(role)
        headers = {"kid": kid, "typ": None}  # None: PyJWT leaves `typ` out
        return jwt.PyJWS().encode(payload, key, algorithm="RS256", headers=headers)

    def attest(self, role: Role, payload_type: str, payload: bytes) -> bytes:
        # Takes every cloud's SDK along, a quarter of a second: not at every start.
        from securesystemslib.dsse import Envelope  # noqa: PLC0415
        from securesystemslib.signer import CryptoSigner, SSlibKey  # noqa: PLC0415

        key, kid = self._taken(role)
        public = SSlibKey.from_crypto(key.public_key(), keyid=kid, scheme=SCHEME)
        envelope = Envelope(payload, payload_type, {})
        envelope.sign(CryptoSigner(key, public))
        return json.dumps(envelope.to_dict(), sort_keys=True, separators=(",", ":")).encode()

    @staticmethod
    def warm() -> None:
        """Load what `attest` needs, so that the first release does not wait for it."""
        import securesystemslib.dsse  # noqa: PLC0415
        import securesystemslib.signer  # noqa: F401, PLC0415

    def uses(self) -> dict[tuple[Role, str], int]:
        """How often each key signed since this was asked last, by role and key id. For the audit log."""
        with self._count_lock:
            found, self._uses = self._uses, collections.Counter()
        return dict(found)

    def _taken(self, role: Role) -> tuple[rsa.RSAPrivateKey, str]:
        """The key that signs, and its id; counted."""
        key = self._private[role]
        kid = key_files.key_of(key).kid
        with self._count_lock:
            self._uses[role, kid] += 1
        return key, kid

    def public(self, role: Role) -> Key:
        return self._root.keys[role][-1]

    def public_pem(self, role: Role) -> str:
        return key_files.public_pem(self.public(role))

    def root(self) -> Root:
        return self._root

    def roots(self) -> list[Root]:
        count = self._root.version
        return [Root.parse(Document.decode(self._read(each)).payload) for each in range(1, count + 1)]

    def document(self, version: int) -> bytes | None:
        return self._read(version) if 1 <= version <= self._root.version else None

    def rotate(self, role: Role) -> Draft:
        with self._lock:
            private = key_files.make(self._folder, role)
            return self._offer(self._root.added(role, key_files.key_of(private)))

    def revoke(self, kid: str, *, stolen: bool) -> Draft:
        with self._lock:
            role = self._root.role_of(kid)
            if stolen and role in ONLINE:
                private = key_files.make(self._folder, role)
                return self._offer(self._root.begun_again(role, key_files.key_of(private)))
            return self._offer(self._root.without(kid))

    def take(self, whole: bytes) -> Root:
        with self._lock:
            document = Document.decode(whole)
            root = follow(self._root, document, key_files.check)
            private = self._signers(root)  # before it is kept: a service that cannot sign helps nobody
            key_files.write_whole(self._roots / str(root.version), document.encoded())
            self._root, self._private = root, private
            return root

    def _offer(self, root: Root) -> Draft:
        """Sign with the root keys that are here; taken at once if that is enough. Called with the lock."""
        document = Document(payload=root.payload())
        present = self._present()
        for key in {each.n: each for each in (*self._root.keys["root"], *root.keys["root"])}.values():
            if key.kid in present:
                document = key_files.sign(document, present[key.kid])
        whole = document.encoded()
        try:
            follow(self._root, document, key_files.check)
        except BadSignatureError as error:
            return Draft(document=whole, root=root, missing=str(error))
        private = self._signers(root)
        key_files.write_whole(self._roots / str(root.version), whole)
        self._root, self._private = root, private
        return Draft(document=whole, root=root, missing="")

    def _first(self) -> Root:
        """Document 1 names the keys that are there; what is missing is made."""
        privates = {role: self._load_or_make(role) for role in ROLES}
        keys: dict[Role, tuple[Key, ...]] = {role: (key_files.key_of(each),) for role, each in privates.items()}
        root = Root(version=1, keys=keys, epochs=dict.fromkeys(ONLINE, 1))
        document = key_files.sign(Document(payload=root.payload()), privates["root"])
        key_files.write_whole(self._roots / "1", document.encoded())
        return root

    def _load_or_make(self, role: Role) -> rsa.RSAPrivateKey:
        path = self._folder / f"{role}.pem"
        return key_files.load(path) if path.exists() else key_files.make(self._folder, role)

    def _newest(self) -> Root | None:
        versions = [int(each.name) for each in self._roots.iterdir() if each.name.isdigit()]
        if not versions:
            return None
        return Root.parse(Document.decode(self._read(max(versions))).payload)

    def _read(self, version: int) -> bytes:
        return (self._roots / str(version)).read_bytes()

    def _present(self) -> dict[str, rsa.RSAPrivateKey]:
        """The private keys that are here, by key id. Root keys may be elsewhere."""
        found = [key_files.load(path) for path in sorted(self._folder.glob("*.pem"))]
        return {key_files.key_of(each).kid: each for each in found}

    def _signers(self, root: Root) -> dict[Role, rsa.RSAPrivateKey]:
        """Raises: BadInputError when the private key that has to sign is not here."""
        present = self._present()
        signers: dict[Role, rsa.RSAPrivateKey] = {}
        for role in ONLINE:
            kid = root.keys[role][-1].kid
            if kid not in present:
                text = f"the private {role} key {kid} of root document {root.version} is not in {self._folder}"
                raise BadInputError(f"{text}: restore it from a backup")
            signers[role] = present[kid]
        return signers
