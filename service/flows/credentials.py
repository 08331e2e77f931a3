"""Credentials: a device gets another token over the air, or none ever again."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from service.domain.audit import Deed
from service.domain.configuration import Secrets
from service.domain.device import Device, DeviceId, Report
from service.domain.errors import ConflictError
from service.flows.configure import Parts, change, living
from service.flows.enrol import let_in, token_digest
from service.ports import BrokerAccounts, Clock
from service.records import Configurations, Fleet


def rotate(
    name: DeviceId,
    parts: Parts,
    *,
    accounts: BrokerAccounts,
    new_token: Callable[[str], str],
    by: str,
    who: str = "",
    is_over: Callable[[str], bool] = lambda _token: False,
) -> Device:
    """Order another token. The old one is taken until the device has confirmed the new one. `who` is for the audit
    log, where `by` is a reason.

    While one is under way the same is ordered again: the device may live with it already, and would be locked out
    by a third; but for one that `is_over`. Raises: NotFoundError, ConflictError for a retired device, BrokerError.
    """
    under_way = _under_way(living(name, parts.fleet), parts.configurations)
    under_way = "" if is_over(under_way) else under_way
    token = under_way or new_token(name)
    _allow_also(name, token, parts, accounts)  # before the device can hear of it

    def edit(secrets: Secrets) -> Secrets:
        return replace(secrets, device={**secrets.device, "token": token})

    detail = f"by {by}" + ", once more" * bool(under_way)
    digest = token_digest(token)
    device = change(
        name,
        edit,
        parts,
        what="token",
        detail=detail,
        new_token=digest,
        is_again=bool(under_way),
        noted=(who or by, "device.token_rotated", ""),
    )
    # Two that rotate at once: whichever was ordered last is the one that the broker takes.
    _allow_also(name, str(parts.configurations.get(name).secrets.device.get("token", token)), parts, accounts)
    return device


def _allow_also(name: DeviceId, token: str, parts: Parts, accounts: BrokerAccounts) -> None:
    """Raises: BrokerError, ConflictError for a device that was retired meanwhile."""
    if not let_in(name, lambda: accounts.allow_also(name, token), accounts, parts.fleet):
        raise ConflictError(f"{name} was retired")


def _under_way(device: Device, configurations: Configurations) -> str:
    """The token that the device is to change to; empty for none."""
    token = str(configurations.get(device.id).secrets.device.get("token", ""))
    return token if token and token_digest(token) == device.new_token_digest else ""


def is_due(device: Device, token: str, configurations: Configurations, *, is_aging: Callable[[str], bool]) -> bool:
    """Whether a device that comes with `token` is to be given another: it ages, or the one that it is to change to does
    before the device ever came with it, and would not be taken any more.
    """
    if device.new_token_digest is None:
        return is_aging(token)
    return token_digest(token) == device.token_digest and is_aging(_under_way(device, configurations))


def token_of(device: Device, secrets: Secrets) -> str:
    """A token that is taken from this device: the one that it is to change to, where there is one.

    Raises: ConflictError when none is known here, because it was enrolled before tokens were kept.
    """
    known = [str(secrets.device.get("token", "")), secrets.token]
    for digest in (device.new_token_digest, device.token_digest):
        for token in known:
            if token and digest == token_digest(token):
                return token
    raise ConflictError(
        f"the token of {device.id} is not kept here: give it another (`kiln devices token {device.id}`), and ask again"
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """The new tokens that came to us over HTTP since the start. Whoever stole the old one may say in a report that the
    device lives with the new one, and would have it locked out; but has the new one not to show.
    """

    _digests: dict[DeviceId, str] = field(default_factory=dict)

    def note(self, device: Device, token: str) -> bool:
        """Whether `token` is the one that the device is to change to."""
        if device.new_token_digest is None or token_digest(token) != device.new_token_digest:
            return False
        self._digests[device.id] = device.new_token_digest
        return True

    def holds(self, device: Device) -> bool:
        return device.new_token_digest is not None and self._digests.get(device.id) == device.new_token_digest

    def forget(self, device: Device) -> None:
        self._digests.pop(device.id, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the change from one token to another needs."""

    fleet: Fleet
    configurations: Configurations
    accounts: BrokerAccounts
    clock: Clock
    shown: Shown


def settle(device: Device, report: Report, parts: Change) -> bool:
    """End the old token, when this report says that the device lives with the new one, and the device has shown it.

    Raises: BrokerError.
    """
    if not parts.shown.holds(device) or report.config != device.config or not report.is_settled:
        return False
    token = _under_way(device, parts.configurations)
    if not token or device.new_token_digest is None:
        return False
    if not let_in(device.id, lambda: parts.accounts.allow(device.id, token), parts.accounts, parts.fleet):
        return False
    parts.fleet.settle_token(device.id, device.new_token_digest)
    parts.shown.forget(device)
    parts.fleet.note(device.id, "token", "the device has the new one; the old one is dead", now=parts.clock.now())
    return True


def follow(device: Device, token: str, parts: Change) -> None:
    """Have the broker take what a device with two tokens will come with, where it knows one password of a user;
    and the only token of a device where it knows none of it, or another.

    `token` is the one that the device showed us when it asked over HTTP because the broker was away; when it
    fetches the configuration instead (empty), it will soon come with the new one. Raises: BrokerError.
    """
    if device.new_token_digest is None:
        _let_in_again(device, token, parts)
        return
    # What it reported before we started again counts as well.
    if parts.shown.note(device, token) and device.report is not None and settle(device, device.report, parts):
        return
    new = _under_way(device, parts.configurations)
    if new:
        let_in(device.id, lambda: _either(device, token, new, parts.accounts), parts.accounts, parts.fleet)


def _either(device: Device, token: str, new: str, accounts: BrokerAccounts) -> None:
    """The new token beside the old one; where the broker knows one alone, what the device comes with."""
    is_lost = token != "" and not accounts.knows(device.id, token)
    if is_lost:  # it is not to be left with the other alone
        accounts.allow(device.id, token)
    if not accounts.allow_also(device.id, new) and not is_lost:
        accounts.allow(device.id, token or new)


def _let_in_again(device: Device, token: str, parts: Change) -> None:
    """A broker that lost its accounts, or has an older copy of them, gets each back from the device itself."""
    if token and token_digest(token) == device.token_digest and not parts.accounts.knows(device.id, token):
        if not let_in(device.id, lambda: parts.accounts.allow(device.id, token), parts.accounts, parts.fleet):
            return
        parts.fleet.note(device.id, "token", "the broker had lost it, and has it again", now=parts.clock.now())


def end_of_retired(accounts: BrokerAccounts, fleet: Fleet) -> list[str]:
    """Forbid whom the broker knows although it was retired: an older copy of its accounts may have come back.

    Answers who that was. Raises: BrokerError.
    """
    found = sorted(accounts.names() & set(fleet.retired()))
    for name in found:
        accounts.forbid(name)
    return found


def retire(name: DeviceId, parts: Parts, *, accounts: BrokerAccounts, by: str) -> Device:
    """Its credentials are dead when this returns. Safe to repeat. Raises: NotFoundError, BrokerError.

    Here it is dead at once, and that is noted, whether or not the broker can be told now.
    """
    now, device = parts.clock.now(), parts.fleet.device(name)
    if device.retired_at is None:
        deed = Deed(who=by, what="device.retired", repository=device.repository, subject=name)
        parts.fleet.retire(name, now=now, deed=deed)
        parts.fleet.note(name, "retired", f"by {by}", now=now)
    accounts.forbid(name)
    parts.again(name)
    return parts.fleet.device(name)
