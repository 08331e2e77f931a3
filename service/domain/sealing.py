"""Sealing: with which key secrets are kept, and how far a change of it has come."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    key: str  # the id of the key in use
    place: str  # where it is
    left: int  # values that are sealed with another
    lost: int  # of these: those that no key here opens
    is_done: bool  # nothing needs an older key
