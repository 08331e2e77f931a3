"""Semantic versions and their precedence (https://semver.org, version 2.0.0)."""

import re
from dataclasses import dataclass
from typing import Self

MAX_CHARS = 64  # what a device reads
_NUMBER = r"0|[1-9]\d{0,8}"
_WORD = r"0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*"  # rule 9: no number with a zero before it
_BUILD = r"[0-9A-Za-z-]+"
_VERSION = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-((?:{_WORD})(?:\.(?:{_WORD}))*))?(?:\+({_BUILD}(?:\.{_BUILD})*))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    core: tuple[int, int, int]
    pre: tuple[str, ...] = ()  # of a pre-release: `rc`, `1`
    build: str = ""  # says nothing about precedence

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what is no semantic version, or a longer one than `MAX_CHARS`."""
        match = _VERSION.fullmatch(text) if len(text) <= MAX_CHARS else None
        if match is None:
            return None
        core = (int(match[1]), int(match[2]), int(match[3]))
        return cls(core=core, pre=tuple(match[4].split(".")) if match[4] else (), build=match[5] or "")

    @property
    def precedence(self) -> tuple[object, ...]:
        """To compare versions by, as rule 11 says: a pre-release is before its release, numbers before words."""
        words = tuple((0, int(each), "") if each.isdigit() else (1, 0, each) for each in self.pre)
        return (self.core, not self.pre, words)


def leads_back(version: str, current: str) -> bool:
    """Whether `version` has a lower precedence than `current`; not, where one of them is no semantic version."""
    new, now = Version.parse(version), Version.parse(current)
    return new is not None and now is not None and new.precedence < now.precedence
