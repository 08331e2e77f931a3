"""What an archive is made of."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of an archive; a path that ends in `/` is an empty folder."""

    path: str
    chunks: Iterable[bytes] = field(repr=False)  # read once
    runs: bool = False  # a script
