"""What a repository asks for: the table ``[dependencies]`` of ``kiln.toml``.

A name is what MicroPython's `mip` takes (docs.micropython.org, reference/packages): of a package in an index, or where
a ``package.json`` or a single file lies: ``github:owner/repository``, ``gitlab:owner/repository``, ``https://...``.
"""

import re
from dataclasses import dataclass

from runners.contract.table import Table

TABLE = "dependencies"
FAMILY = "micropython"  # the only one that has packages of this kind
MAX_REQUIREMENTS = 64
MAX_NAME_CHARS = 200
MAX_VERSION_CHARS = 100
MAX_INDEX_CHARS = 500
LATEST = "latest"  # of an index; of a repository the head of its default branch

_FORGES = ("github:", "gitlab:")
_ADDRESSES = ("https://", "http://")
_IN_INDEX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_IN_FORGE = re.compile(r"(?:github|gitlab):[A-Za-z0-9_-][\w.-]*(?:/[A-Za-z0-9_-][\w.-]*){1,12}", re.ASCII)
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(?:/[A-Za-z0-9_~%+@=,-][\w.~%+@=,-]*)+/?", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9_][\w.+-]*(?:/[A-Za-z0-9_][\w.+-]*)*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Requirement:
    """One line of the table."""

    name: str
    version: str  # of an index; or a tag, branch or commit of a repository; or `LATEST`
    index: str = ""  # where the index is; empty: the one that `kiln lock` is told, else MicroPython's own

    @property
    def is_in_index(self) -> bool:
        return not self.name.startswith((*_FORGES, *_ADDRESSES))

    @property
    def said(self) -> str:
        return f"{self.name} {self.version}"


def complaint(requirement: Requirement) -> str | None:
    """What is wrong with it, or None. What a package asks for (`deps` of its package.json) is judged the same way."""
    name, version = requirement.name, requirement.version
    shown = ascii(name[:80])
    if len(name) > MAX_NAME_CHARS or len(version) > MAX_VERSION_CHARS:
        limits = f"{MAX_NAME_CHARS} characters, or a version of more than {MAX_VERSION_CHARS}"
        return f"{shown} has a name of more than {limits}"
    fits = _IN_INDEX if requirement.is_in_index else _IN_FORGE if name.startswith(_FORGES) else _ADDRESS
    if not fits.fullmatch(name):
        return (
            f'{shown} is not the name of a package, nor like "github:owner/repository" or "https://host/package.json"'
        )
    if not _VERSION.fullmatch(version) or (requirement.is_in_index and "/" in version):
        return f'{shown} has the version {version[:80]!a}: write one like "1.4.0", a tag, or "{LATEST}"'
    index = requirement.index
    if index and (not requirement.is_in_index or len(index) > MAX_INDEX_CHARS or not _ADDRESS.fullmatch(index)):
        return f'{shown} has an "index" that is not like "https://host/pi/v2", or belongs to no index'
    return None


def read_requirements(root: Table, family: str) -> tuple[Requirement, ...]:
    """Sorted by name. Raises: ManifestError naming the line to fix."""
    table = root.table(TABLE)
    if table.values and family != FAMILY:
        raise table.error(None, f'[{TABLE}] are packages of MicroPython, and the family is "{family}": remove it')
    if len(table.values) > MAX_REQUIREMENTS:
        raise table.error(None, f"[{TABLE}] has {len(table.values)} lines, at most {MAX_REQUIREMENTS} are allowed")
    return tuple(sorted(_read(name, table) for name in table.values))


def _read(name: str, table: Table) -> Requirement:
    if isinstance(table.values[name], dict):
        inner = table.table(name)
        if unknown := sorted(inner.values.keys() - {"version", "index"}):
            raise table.error(name, f'{name[:80]!a} has "version" and "index", not {unknown[0][:80]!a}')
        version = inner.text("version", default=LATEST, max_chars=MAX_VERSION_CHARS)
        found = Requirement(
            name=name, version=version, index=inner.text("index", default="", max_chars=MAX_INDEX_CHARS)
        )
    else:
        found = Requirement(name=name, version=table.text(name, default="", max_chars=MAX_VERSION_CHARS))
    if said := complaint(found):
        raise table.error(name, said)
    return found
