"""Reading: stored bytes, held against the digest that they are named by."""

import hashlib

from service.domain.errors import AlteredError
from service.ports import Objects


def exactly(objects: Objects, digest: str) -> bytes:
    """The bytes of an object, if they are still those that were recorded.

    Storage is looked after by others, perhaps on another machine: whatever is signed or built from goes through here.
    Raises: AlteredError, NotFoundError, ObjectsError.
    """
    content = b"".join(objects.read(digest))
    if hashlib.sha256(content).hexdigest() != digest:
        raise AlteredError(f"object {digest[:16]} is not what was stored: somebody changed it, nothing is made of it")
    return content
