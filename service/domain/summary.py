"""Summary: what a check run says about a build, in Markdown.

All that comes from a repository stands in code, which neither forge searches for markup, links or people to tell.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from runners.contract.job import Annotation
from service.domain.build import Build, BuildJob

MAX_SUMMARY_BYTES = 60_000  # GitHub takes 65,535
MAX_ERROR_LINES = 10  # of each board; the rest is in the log
MAX_LINE_CHARS = 300
# Marks that change how other text is shown or read: control characters, and what turns the direction of writing.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_TICKS = re.compile(r"`+")


def plain(text: str) -> str:
    """One line of what a reader can see."""
    return "".join("\ufffd" if unicodedata.category(char) in _UNSEEN else char for char in " ".join(text.split()))


def code(text: str) -> str:
    """A code span that ends where it should, in a table, too."""
    inner = plain(text)[:MAX_LINE_CHARS].replace("|", "¦")  # a bar ends a table's cell, in code as elsewhere
    fence = "`" * (_longest(inner) + 1)
    return f"{fence} {inner} {fence}" if inner else ""


def block(lines: Iterable[str]) -> str:
    """A fenced block that nothing in it can end (CommonMark 0.31, section 4.5)."""
    inner = [plain(line)[:MAX_LINE_CHARS] for line in lines]
    fence = "`" * max(3, _longest("\n".join(inner)) + 1)
    return "\n".join([f"{fence}text", *inner, fence])


def of_build(build: Build, jobs: Sequence[BuildJob], *, here: str) -> str:
    """A table of its boards, then what went wrong. `here` is the build's address."""
    parts = [block([build.message])] if build.message else []
    if jobs:
        head = "| board | state | log |\n|---|---|---|"
        rows = [f"| {code(each.board)} | {each.status.value} | [log]({_log(each, here)}) |" for each in jobs]
        parts.append("\n".join([head, *rows]))
    parts += [f"{code(each.board)}\n\n{block(_errors(each))}" for each in jobs if _errors(each)]
    return _joined(parts, here)


def of_job(job: BuildJob, *, here: str) -> str:
    """What became of one board."""
    errors, warnings = _errors(job), _lines(job.warnings)
    parts = [block(errors)] if errors else []
    parts += ["Warnings", block(warnings)] if warnings else []
    sizes = [f"{each.name}: {each.size_bytes} of {each.of_bytes} bytes" for each in job.sizes if each.of_bytes]
    parts += [block(sizes)] if sizes else []
    return _joined([*parts, f"[log]({_log(job, here)})"], here)


def _errors(job: BuildJob) -> list[str]:
    return [*([job.message] if job.message else []), *_lines(job.annotations)]


def _lines(annotations: Sequence[Annotation]) -> list[str]:
    told = [f"{each.path}:{each.line}: {each.text}" for each in annotations]
    more = len(told) - MAX_ERROR_LINES
    return [*told[:MAX_ERROR_LINES], *([f"and {more} more"] if more > 0 else [])]


def _log(job: BuildJob, here: str) -> str:
    return f"{here}/{job.board}/log"


def _joined(parts: Sequence[str], here: str) -> str:
    kept, size = [], 0
    for part in parts:
        size += len(part.encode()) + 2
        if size > MAX_SUMMARY_BYTES - 1000:
            kept.append(f"There is [more]({here}).")
            break
        kept.append(part)
    return "\n\n".join(kept)


def _longest(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)
