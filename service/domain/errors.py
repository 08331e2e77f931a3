"""Everything that the service itself raises.

KilnError
├── BadInputError            the caller's doing: the message names what to fix
│   ├── BadSignatureError    a delivery, token or signed URL that is not authentic
│   ├── MalformedError       authentic, but not of the format
│   ├── TooLargeError        over a named limit
│   ├── ConflictError        it exists already, or its state forbids this
│   └── ForgeRefusedError    a forge said no for good: rights, a wrong name, a limit
├── ForbiddenError           known, and not allowed
├── AlteredError             stored bytes are not those that were recorded
├── NotFoundError            no such thing, or none that the caller may see
└── OutsideError             another system failed; worth a retry
    ├── ObjectsError         object storage
    ├── BrokerError          MQTT broker
    ├── SourceError          git
    └── ForgeError           a forge's API, for now
"""


class KilnError(Exception):
    """Root of the tree."""


class BadInputError(KilnError):
    """The caller's doing: the message names what to fix."""


class BadSignatureError(BadInputError):
    """Not authentic."""


class MalformedError(BadInputError):
    """Authentic, or not yet checked, but not of the format."""


class TooLargeError(BadInputError):
    """Over a named limit."""


class ConflictError(BadInputError):
    """It exists already, or its state forbids this."""


class ForgeRefusedError(BadInputError):
    """A forge said no for good: rights, a wrong name, a limit."""


class ForbiddenError(KilnError):
    """Known, and not allowed."""


class AlteredError(KilnError):
    """Stored bytes are not those that were recorded: nothing may be made or signed of them."""


class NotFoundError(KilnError):
    """No such thing, or none that the caller may see."""


class OutsideError(KilnError):
    """Another system failed; worth a retry."""


class ObjectsError(OutsideError):
    """Object storage failed."""


class BrokerError(OutsideError):
    """The MQTT broker failed or refused us."""


class SourceError(OutsideError):
    """Git failed."""


class ForgeError(OutsideError):
    """A forge's API failed or asked us to wait."""

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
