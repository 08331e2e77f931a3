"""Why a device is not told of a release."""

from collections.abc import Callable
from dataclasses import dataclass

from service.domain.device import Device, DeviceState
from service.domain.release import Bundle, Release
from service.domain.rollout import RowState
from service.records import Builds

ON_TRIAL = (DeviceState.DOWNLOADING, DeviceState.STAGED, DeviceState.TRIAL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of a row, and why, for people."""

    state: RowState
    why: str = ""


def runs(device: Device, bundle: Bundle) -> bool:
    """It runs this very bundle, and not on trial."""
    report = device.report
    return report is not None and report.running == bundle.digest and report.state not in ON_TRIAL


def bundle_for(device: Device, release: Release, builds: Builds) -> Bundle | None:
    return next((each for each in builds.bundles(release.build) if each.board == device.board), None)


def unfit(device: Device, release: Release, bundle: Bundle | None) -> str:
    """Why this device cannot be sent this release, in a sentence; empty when it can."""
    if release.withdrawn_at is not None:
        return f"{release.version} was withdrawn"
    if bundle is None:
        return f"{release.version} has nothing for the board {device.board}"
    return _is_behind(device, release)


def _is_behind(device: Device, release: Release) -> str:
    runs = device.report.counter if device.report else 0
    if release.counter >= runs:
        return ""
    return (
        f"{release.version} (counter {release.counter}) is older than what it runs (counter {runs}): "
        f"a device never goes back"
    )


def obstacle(
    device: Device, release: Release, bundle: Bundle | None, more: Callable[[Device, Release], str]
) -> Verdict | None:
    """None when it may be told. `HELD` for what can pass, `LEFT` for what cannot.

    `more` is asked for what others know of it (settings that it lacks).
    """
    if device.retired_at is not None:
        return Verdict(RowState.LEFT, "it is retired")
    if device.pin is not None and device.pin != release.build:
        return Verdict(RowState.LEFT, f"it is pinned to release {device.pin}")
    if release.withdrawn_at is not None or bundle is None:
        return Verdict(RowState.LEFT, unfit(device, release, bundle))
    why = _is_behind(device, release) or more(device, release)
    return Verdict(RowState.HELD, why) if why else None


def fit(
    device: Device,
    release: Release,
    bundle: Bundle | None,
    more: Callable[[Device, Release], str],
    understand: Callable[[Device, Release], Device],
) -> tuple[Device, Verdict | None]:
    """As `obstacle`, after `understand` read what settings a device that is held has; and the device as it is then."""
    found = obstacle(device, release, bundle, more)
    if found is None or found.state is not RowState.HELD:
        return device, found
    read = understand(device, release)
    return read, found if read is device else obstacle(read, release, bundle, more)
