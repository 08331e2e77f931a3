"""Claims: an owner makes a one-time code, and a board that has it enrols itself."""

import dataclasses
import datetime
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from service.domain import claim as claims
from service.domain.audit import Deed
from service.domain.bundle import canonical
from service.domain.claim import Claim, Kept
from service.domain.configuration import Secrets, Value
from service.domain.device import Device, DeviceId, device_id, taken
from service.domain.errors import BadInputError, ConflictError, KilnError, NotFoundError
from service.domain.repository import RepositoryId
from service.flows import enrol, known
from service.flows.configure import Encrypt, Wish, shared_with
from service.records import Audit, Claims

logger = logging.getLogger("kiln.devices")

MAX_OPEN = 1000  # codes of one repository that are neither used nor expired
ANY_ID = "any"  # stands for an id that is made later
NO_CODE = "no such code, or it has expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`chance` makes so many random bytes. `about` is what device.json says beside who the device is. `may` answers
    whether who made a code may still enrol devices of that repository.
    """

    claims: Claims
    enrolling: enrol.Parts
    audit: Audit
    chance: Callable[[int], bytes]
    about: Callable[[Device], dict[str, Any]]
    decrypt: Encrypt
    may: Callable[[str, RepositoryId], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a board sends."""

    name: str
    seed: bytes
    proof: bytes
    own: bytes = b""  # the Wi-Fi that it has, encrypted; empty: none


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A claim and its code, which is shown this once."""

    claim: Claim
    code: str = field(repr=False)
    note: str = ""  # what whoever made it should know


def make(wanted: enrol.Request, hours: int, parts: Parts, *, by: str) -> Made:
    """`wanted.id` may be empty.

    Raises: BadInputError, NotFoundError, ConflictError for an id that was used, or too many open codes.
    """
    if not 1 <= hours <= claims.MAX_HOURS:
        raise BadInputError(f"a code is good for 1 to {claims.MAX_HOURS} hours")
    device = enrol.checked(dataclasses.replace(wanted, id=wanted.id or ANY_ID), parts.enrolling)
    if wanted.id:
        _check_unused(device.id, parts)
    note = known.check(device.repository, device.channel, parts.enrolling.channels)
    settings = wanted.wish.checked(parts.enrolling.schema(device))
    code, now = claims.code_of(parts.chance(claims.ENTROPY_BYTES)), parts.enrolling.clock.now()
    made = Claim(
        name=claims.name_of(code),
        repository=device.repository,
        board=device.board,
        channel=device.channel,
        group=device.group,
        label=device.label,
        wanted_id=wanted.id,
        made_by=by,
        created_at=now,
        expires_at=now + datetime.timedelta(hours=hours),
    )
    parts.claims.add(made, Kept(code=code, settings=settings), at_most=MAX_OPEN)
    _note(made, "claim.made", f"{made.board}, {made.channel}", parts, by=by)
    return Made(claim=made, code=code, note=note)


def revoke(claim: Claim, parts: Parts, *, by: str) -> None:
    """Nobody enrols by it any more; a device that did stays. Raises: NotFoundError."""
    parts.claims.remove(claim.name)
    _note(claim, "claim.revoked", claim.state(parts.enrolling.clock.now()), parts, by=by)


def redeem(asked: Asked, parts: Parts) -> bytes:
    """The sealed answer to a board that has the code: who it is from now on. The same board gets it again.

    Raises: NotFoundError in the same words for every code that is not good, ConflictError when another board used it
    or its device is not as it was. Each is logged: the board cannot say more than that it was refused.
    """
    try:
        return _redeemed(asked, parts)
    except KilnError as error:
        why = str(error.__cause__ or error)
        logger.warning("code refused", extra={"claim": asked.name, "error": why})
        raise


def _redeemed(asked: Asked, parts: Parts) -> bytes:
    claim, kept = _open(asked, parts)
    digest, now = hashlib.sha256(asked.seed).hexdigest(), parts.enrolling.clock.now()
    name = claim.wanted_id or claims.made_id(claim.repository, parts.chance(8))
    if claim.used_at is None:  # what cannot be is said before the code is used up
        enrol.checked(_wanted(claim, name, parts), parts.enrolling)
        _known(device_id(name), claims.token_of(kept.code, asked.seed), parts)
    taken = parts.claims.take(claim.name, seed_digest=digest, device=name, now=now)
    if taken.seed_digest != digest:
        raise ConflictError("this code was used by another board")
    device = _enrolled(taken, kept, asked, parts)
    answer = {"v": 1, "id": device.id, "board": device.board, "repo": device.repository, **parts.about(device)}
    answer["settings"] = parts.enrolling.configurations.get(device.id).secrets.effective
    key = claims.answer_key(kept.code, asked.seed)
    return claims.closed(kept.code, asked.seed, parts.enrolling.encrypt(key, canonical(answer)))


def _open(asked: Asked, parts: Parts) -> tuple[Claim, Kept]:
    """Raises: NotFoundError."""
    try:
        claim, kept = parts.claims.get(asked.name), parts.claims.kept(asked.name)
    except NotFoundError as error:
        raise NotFoundError(NO_CODE) from error
    why = ""
    if kept is None or parts.enrolling.clock.now() >= claim.expires_at:
        why = "it has expired"
    elif not claims.is_proven(kept.code, asked.seed, asked.proof):
        why = "who asks does not have it"
    elif not parts.may(claim.made_by, claim.repository):  # or who may no more would still be given what the fleet has
        why = f"{claim.made_by} may not enrol devices of {claim.repository} any more"
    if why or kept is None:
        raise NotFoundError(NO_CODE) from NotFoundError(why)
    return claim, kept


def _enrolled(claim: Claim, kept: Kept, asked: Asked, parts: Parts) -> Device:
    """The claim's device: it is made now, or was when this board asked before. Raises: KilnError."""
    token, key = claims.token_of(kept.code, asked.seed), claims.key_of(kept.code, asked.seed)
    by, name = f"{claim.made_by}, code {claim.name}", device_id(claim.device)
    wanted = _wanted(claim, name, parts)
    settings = {**_wifi(wanted, kept, asked, parts), **kept.settings}
    wanted = dataclasses.replace(wanted, wish=Wish(values=settings))
    # They were good when the code was made. What newer firmware says of them is said of the device, by its `hold`.
    as_promised = dataclasses.replace(parts.enrolling, schema=lambda _device: {})
    used = _deed(claim, "claim.used", name, by=claim.made_by)
    if _known(name, token, parts) is None:
        try:
            enrol.enrol(wanted, as_promised, token=token, key=key, by=by, deed=used, asks_again=True)
        except ConflictError:  # the same board asks twice at once
            if _known(name, token, parts) is None:
                raise
    device = parts.enrolling.fleet.device(name)
    if device.new_token_digest is None:
        accounts = parts.enrolling.accounts  # perhaps it was cut off before it came to this
        if not enrol.let_in(name, lambda: accounts.allow(name, token), accounts, parts.enrolling.fleet):
            raise ConflictError(f"{name} was retired")
    enrol.complete(name, parts.enrolling, Secrets(key=key, token=token, settings=settings), by=by, deed=used)
    return device


def _wanted(claim: Claim, name: str, parts: Parts) -> enrol.Request:
    """In no group where that has gone: an open code keeps its group, but for one of an older Kiln, or a race."""
    has_group = parts.enrolling.inventory.has_group(claim.repository, claim.group)
    return enrol.Request(
        id=name,
        repository=claim.repository,
        board=claim.board,
        channel=claim.channel,
        group=claim.group if has_group else "",
        label=claim.label,
    )


def _wifi(wanted: enrol.Request, kept: Kept, asked: Asked, parts: Parts) -> dict[str, Value]:
    """What the board has in its own file, where nobody said another: its first configuration replaces that file."""
    body = claims.own_of(kept.code, asked.seed, asked.own) if asked.own else None
    said = {**shared_with(enrol.checked(wanted, parts.enrolling), parts.enrolling.shared), **kept.settings}
    if body is None or "WIFI_SSID" in said:
        return {}
    try:
        return claims.wifi_of(parts.decrypt(claims.own_key(kept.code, asked.seed), body))
    except ValueError:
        return {}


def _known(name: DeviceId, token: str, parts: Parts) -> Device | None:
    """The device that this board became. Raises: ConflictError when that lives with another token, or is retired."""
    try:
        device = parts.enrolling.fleet.device(name)
    except NotFoundError:
        return None
    if device.token_digest == enrol.token_digest(token) and device.retired_at is None:
        return device
    raise ConflictError(f"{name} is another device by now: make another code")


def _check_unused(name: DeviceId, parts: Parts) -> None:
    try:
        device = parts.enrolling.fleet.device(name)
    except NotFoundError:
        return
    raise ConflictError(taken(name, is_retired=device.retired_at is not None))


def _note(claim: Claim, what: str, detail: str, parts: Parts, *, by: str) -> None:
    parts.audit.note(_deed(claim, what, detail, by=by), now=parts.enrolling.clock.now())


def _deed(claim: Claim, what: str, detail: str, *, by: str) -> Deed:
    return Deed(who=by, what=what, repository=claim.repository, subject=claim.name, detail=detail)
