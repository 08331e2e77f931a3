"""How a container ended, told from what `build-images/entry` prints and the engine saw; and what became of its work."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from runners.contract.job import MAX_MESSAGE_CHARS, Limits, Outcome, Result
from runners.contract.source import Fetched
from runners.engine import End, Image
from runners.errors import EngineError, ImageStaleError, RefusedError, TransportError

ENTRY = ("kiln.entry", "8e8a7cc0038c9792")  # label of every image, and the digest of build-images/entry in it
DISK_IS_FULL = "No space left on device"  # strerror(ENOSPC), in the locale that build-images/entry sets
MAX_REPORT_BYTES = 200  # the two lines before the outputs
# As dash, and as bash, make and compilers say it: strerror(EAGAIN).
_NO_PROCESS = re.compile(r"\bCannot fork\b|\bv?fork: [^\n]{0,200}Resource temporarily unavailable")
_REPORT = re.compile(rb"started\nexit=(\d{1,3}) oom=(\d{1,9}) blocks=(\d{1,12}) inodes=(\d{1,12})\n")

Ended = TypeVar("Ended", Result, Fetched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the first process of the container said about the recipe."""

    exit_code: int
    oom_kills: int
    free_blocks: int
    free_inodes: int


def ended(
    work: Callable[[], Ended],
    became: Callable[[Outcome, str], Ended],
    *,
    clock: Callable[[], float],
    is_cancelled: Callable[[], bool],
) -> Ended:
    """What came of a job or a fetch, and how long it took. What can go wrong with one is a value, too.

    `became` makes that value of an outcome and a sentence; `clock` counts seconds.
    """
    began = clock()
    try:
        result = work()
    except RefusedError as error:
        result = became(Outcome.REFUSED, sentence(str(error)))
    except (EngineError, TransportError) as error:
        result = became(Outcome.ERROR, sentence(str(error)))
    if result.outcome is not Outcome.SUCCEEDED and is_cancelled():
        result = replace(became(Outcome.CANCELLED, "cancelled"), image=result.image)
    return replace(result, seconds=round(clock() - began, 3))


def expect(image: Image, speaks: tuple[str, str]) -> None:
    """`speaks` is a label and the version that it must have. Raises: ImageStaleError."""
    label, version = speaks
    if image.labels.get(label) != version:
        raise ImageStaleError(image.name)


def judge(end: End, report: Report | None, log: str) -> Outcome:
    """Tell apart why a build ended. The first that fits, worst first."""
    if end.is_out_of_memory or (report and report.oom_kills and report.exit_code):
        return Outcome.OUT_OF_MEMORY
    if report and (report.free_blocks == 0 or report.free_inodes == 0):
        return Outcome.DISK_FULL  # even where the recipe says that all is well: something was cut short
    if (report is None or report.exit_code) and DISK_IS_FULL in log:
        return Outcome.DISK_FULL
    return Outcome.SUCCEEDED if report and not report.exit_code and not end.exit_code else Outcome.FAILED


def read_report(output: Iterator[bytes]) -> tuple[Report | None, bytes]:
    """The lines before the outputs, and the bytes after them that were read along. None when it never came to that."""
    head = b""
    while head.count(b"\n") < 2 and len(head) < MAX_REPORT_BYTES and (chunk := next(output, b"")):
        head += chunk
    found = _REPORT.match(head)
    if not found:
        return None, b""
    exit_code, oom_kills, blocks, inodes = (int(each) for each in found.groups())
    report = Report(exit_code=exit_code, oom_kills=oom_kills, free_blocks=blocks, free_inodes=inodes)
    return report, head[found.end() :]


def chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def capped(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """The first `limit` bytes and a clear mark; what comes after is read and dropped, as the build goes on."""
    left = limit
    for chunk in chunks:
        if left < 0:
            continue
        yield chunk[:left]
        if len(chunk) > left:
            yield f"\n[kiln: log cut at {limit} bytes]\n".encode()
            left = -1
        else:
            left -= len(chunk)


def with_cause(message: str, log: str, limits: Limits) -> str:
    """`message`, and what the log says of a limit that ends nothing by itself."""
    if _NO_PROCESS.search(log):
        return sentence(f"{message[: MAX_MESSAGE_CHARS - 100]} (no more than {limits.pids} processes may run at once)")
    return message


def sentence(text: str) -> str:
    """One printable line of a bounded length, whatever a build has put into it."""
    return "".join(each if each.isprintable() else " " for each in text)[:MAX_MESSAGE_CHARS]
