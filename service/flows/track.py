"""Track: what devices say of themselves is kept."""

from service.domain.device import Report, device_id
from service.ports import Clock
from service.records import Fleet


def take_report(name: str, payload: bytes, *, fleet: Fleet, clock: Clock) -> Report:
    """Raises: MalformedError, BadInputError, NotFoundError; nothing is kept then."""
    report = Report.parse(payload)
    fleet.report(device_id(name), report, now=clock.now())
    return report
