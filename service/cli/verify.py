"""`kiln verify`: is this bundle what it says it is? Exit codes: 0 it is, 1 it is not, 2 it cannot be told."""

import argparse
import hashlib
import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.text import Text

from service.cli import rebuild
from service.cli.client import Client, CommandError
from service.domain.bundle import MAGIC
from service.domain.provenance import MAX_ENVELOPE_BYTES
from service.domain.summary import plain
from service.verify.keys import MAX_KEYS_BYTES, Keys, read_keys, retired_ids
from service.verify.opened import MAX_BUNDLE_BYTES, open_bundle
from service.verify.provenance import Origin, check_asked, check_sbom, find_artifact, read_provenance
from service.verify.rebuild import check_snapshot, compare
from service.verify.verdict import RefutedError, UndecidedError

GOOD, BAD, UNDECIDED = 0, 1, 2  # exit codes
MAX_SBOM_BYTES = 4 << 20


@dataclass
class Account:
    """What was found, told as it is found: in lines for people, or at the end as JSON."""

    console: Console | None  # None: JSON alone
    checks: list[dict[str, str]] = field(default_factory=list)
    retired: frozenset[str] = frozenset()  # release keys of former times

    def good(self, check: str, text: str) -> None:
        self._tell("✓", "green", check, text, "good")

    def note(self, check: str, text: str) -> None:
        self._tell("•", "yellow", check, text, "note")

    def bad(self, reason: str, text: str) -> None:
        self._tell("✗", "bold red", reason, text, "bad")

    def _tell(self, mark: str, style: str, check: str, text: str, result: str) -> None:
        self.checks.append({"check": check, "result": result, "text": plain(text)})
        if self.console is not None:
            self.console.print(Text(f"{mark} {check:<11} ", style), Text(plain(text)), sep="", soft_wrap=True)


def verify(given: argparse.Namespace, client: Client | None) -> int:
    """`client` is None when everything is given as files."""
    account = Account(None if given.json else Console(highlight=False, markup=False, emoji=False))
    reason, code = "", GOOD
    try:
        _check(given, client, account)
    except RefutedError as error:
        reason, code = error.reason.value, BAD
        account.bad(reason, str(error))
    except (UndecidedError, CommandError) as error:
        reason, code = "undecided", UNDECIDED
        account.bad(reason, str(error))
    if given.json:
        answer: dict[str, Any] = {"bundle": str(given.bundle), "is_good": code == GOOD, "reason": reason}
        print(json.dumps({**answer, "checks": account.checks}, indent=2))
    elif code == GOOD:
        Console(highlight=False, markup=False).print(Text("good", "bold green"))
    return code


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is being checked, once its signatures are good."""

    origin: Origin
    name: str  # of the firmware
    files: Mapping[str, str] | None  # of the bundle; None for an artifact
    sbom: str  # where the service has the bill of materials
    snapshot: str  # where it has the source


def _check(given: argparse.Namespace, client: Client | None, account: Account) -> None:
    content = _read(given.bundle, MAX_BUNDLE_BYTES)
    is_bundle = content.startswith(MAGIC)
    if not (is_bundle or given.provenance or given.build):
        raise UndecidedError(f"{given.bundle} is no bundle; of an artifact say --build or --provenance")
    keys = _keys(given, client, account)
    found = (_bundle if is_bundle else _artifact)(content, keys, given, client, account)
    origin = found.origin
    check_asked(origin, build=given.build, board=given.board)
    at = f" on {origin.finished_on}" if origin.finished_on else ""
    account.good("provenance", f"commit {origin.commit} of {origin.repository}, built{at} by {origin.builder}")
    _check_sbom(given, client, found, account)
    _check_rebuild(given, client, found, account)


def _keys(given: argparse.Namespace, client: Client | None, account: Account) -> Keys:
    if given.key:
        content = _read(given.key, MAX_KEYS_BYTES)
    else:
        content = _service(client).fetch("/keys.json", max_bytes=MAX_KEYS_BYTES)
    keys = read_keys(content)
    account.retired = retired_ids(content)
    if given.key:
        return keys
    text = "the release key is the one that the service names now: keep it, and give --key the next time"
    account.note("key", text)
    return keys


def _bundle(content: bytes, keys: Keys, given: argparse.Namespace, client: Client | None, account: Account) -> Found:
    bundle = open_bundle(content, keys)
    what = f"{bundle.name} {bundle.version} of {bundle.repo} for {bundle.board}"
    account.good("signature", f"{what}, signed by the release key {bundle.key}")
    if bundle.key in account.retired:
        account.note("key", f"{bundle.key} was a release key once: genuine, and no device takes it any more")
    account.good("content", f"{len(bundle.files)} files, {bundle.size_bytes} bytes, each as it was signed")
    at = f"/releases/{bundle.release}"
    origin = read_provenance(_provenance(given, client, at), keys, bundle)
    return Found(
        origin=origin, name=bundle.name, files=bundle.files, sbom=f"{at}/sbom.json", snapshot=f"{at}/snapshot.tar"
    )


def _artifact(content: bytes, keys: Keys, given: argparse.Namespace, client: Client | None, account: Account) -> Found:
    """A file of a release that holds no signature of its own: the provenance alone says what it is."""
    at = f"/builds/{given.build}"
    digest = hashlib.sha256(content).hexdigest()
    name, origin = find_artifact(_provenance(given, client, at), keys, digest, board=given.board)
    account.good("content", f"{name} of {origin.repo} for {origin.board}, as the provenance names it")
    firmware = origin.repo.rpartition("/")[2]
    return Found(
        origin=origin, name=firmware, files=None, sbom=f"{at}/{origin.board}/sbom.json", snapshot=f"{at}/snapshot.tar"
    )


def _provenance(given: argparse.Namespace, client: Client | None, at: str) -> bytes:
    if given.provenance:
        return _read(given.provenance, MAX_ENVELOPE_BYTES)
    return _service(client).fetch(f"{at}/provenance.json", max_bytes=MAX_ENVELOPE_BYTES)


def _check_sbom(given: argparse.Namespace, client: Client | None, found: Found, account: Account) -> None:
    if given.sbom:
        content = _read(given.sbom, MAX_SBOM_BYTES)
    elif client is not None and _is_served(given, found):
        content = client.fetch(found.sbom, max_bytes=MAX_SBOM_BYTES)
    else:
        account.note("sbom", f"not looked at; its digest is {found.origin.sbom}")
        return
    check_sbom(content, found.origin)
    account.good("sbom", "the bill of materials is the one that provenance names")


def _check_rebuild(given: argparse.Namespace, client: Client | None, found: Found, account: Account) -> None:
    origin = found.origin
    if given.rebuild is False:
        account.note("rebuild", "not done, as you said")
        return
    try:
        snapshot = _snapshot(given, client, found)
        check_snapshot(snapshot, origin, is_of_git=bool(given.source) and given.source.is_dir())
        made = rebuild.rebuild(snapshot, origin, name=found.name)
    except (UndecidedError, CommandError) as error:
        if given.rebuild or given.source:  # who gives a source wants it looked at
            raise
        account.note("rebuild", f"not done: {error}")
        return
    is_same_image = made.image == origin.image
    try:
        count = compare(made.artifacts, origin, found.files)
    except RefutedError as error:
        if is_same_image:
            raise
        text = f"{error}. But the build image {origin.image[:16]} is not on this machine: {made.image[:16]} was used"
        raise UndecidedError(text) from error
    image = f"build image {made.image[:16]}" + ("" if is_same_image else f", for {origin.image[:16]} is not here")
    account.good("rebuild", f"{count} files have the same bytes, built again in {image}")


def _snapshot(given: argparse.Namespace, client: Client | None, found: Found) -> bytes:
    if given.source:
        return rebuild.read_source(given.source, found.origin.commit)
    if client is None or not _is_served(given, found):
        raise UndecidedError("there is no source: give --source, a git repository or a snapshot.tar")
    return client.fetch(found.snapshot, max_bytes=rebuild.MAX_SNAPSHOT_BYTES)


def _is_served(given: argparse.Namespace, found: Found) -> bool:
    """Whether it is known where the service has the rest: a bundle tells, an artifact does not."""
    return found.files is not None or bool(given.build)


def _service(client: Client | None) -> Client:
    if client is None:
        raise UndecidedError("there is no service to ask: give --service, or --key and --provenance")
    return client


def _read(path: pathlib.Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise UndecidedError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > max_bytes:
        raise UndecidedError(f"{path} is larger than {max_bytes} bytes")
    return content
