"""What goes wrong in a runner.

RunnerError
├── RefusedError            the repository's doing: source or outputs break a rule
├── EngineError             the container engine is in trouble
│   ├── ImageMissingError   the family's build image is not on this machine
│   └── ImageStaleError     it was made by another Kiln, and says other things
├── ContainerTimeoutError   a container was stopped because its time was over
├── FlashError              (runners.flash.errors) no flash image can be made: what is missing, or does not fit
├── TransportError          the service or its storage cannot be reached, or says no
└── NameTakenError          another runner of this name is at work
"""

from runners.contract.own_image import ADOPTED


class RunnerError(Exception):
    """Base of everything that a runner raises."""


class RefusedError(RunnerError):
    """The message is for the person who pushed, and names the file."""


class EngineError(RunnerError):
    """Worth a retry: the repository has nothing to do with it."""


class ImageMissingError(EngineError):
    def __init__(self, image: str) -> None:
        super().__init__(f"build image {image}{_missing(image)}")
        self.image = image


class ImageStaleError(EngineError):
    def __init__(self, image: str) -> None:
        super().__init__(f"build image {image} is of another version: {_anew(image)}")


def _anew(image: str) -> str:
    if image.startswith(ADOPTED):
        return f"make it with build-images/build.py --adopt {image.removeprefix(ADOPTED)}"
    return "name another one, or none" if image.startswith("sha256:") else "make it with build-images/build.py"


def _missing(image: str) -> str:
    if image.startswith(ADOPTED):
        return f" is missing on the runner: make it with build-images/build.py --adopt {image.removeprefix(ADOPTED)}"
    if image.startswith(("kiln/", "of family ")):
        return " is missing on the runner: make it with build-images/build.py"
    return " is missing on the runner: `docker images --no-trunc` shows those that are there"


class ContainerTimeoutError(RunnerError):
    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"still running after {timeout_s:g} s")


class TransportError(RunnerError):
    """`status` is the HTTP status of a refusal, None when nobody answered."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NameTakenError(RunnerError):
    def __init__(self, name: str) -> None:
        super().__init__(f"a runner named {name} is at work on this machine: give this one another KILN_RUNNER_NAME")
