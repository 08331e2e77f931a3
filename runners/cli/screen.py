"""What `kiln build` shows: lines that move on a terminal, plain lines elsewhere. Whatever a build says is text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from runners.cli.build import Built, Source
from runners.contract.job import Annotation, Outcome, Size
from runners.recipes.filesystem import NAME as FILE_SYSTEM
from runners.verdict import sentence

LAST_LINES = 20  # of the log of a board that failed, where it was not shown before
MAX_CHANGED = 3  # paths that a warning names
_STYLES = {Outcome.SUCCEEDED: "bold green", Outcome.CANCELLED: "yellow", Outcome.ERROR: "bold magenta"}


class Screen:
    """A context manager. On a terminal the log of a board is its progress line; `is_verbose` shows all of it."""

    def __init__(self, out: Console, log: Console, *, boards: Sequence[str], is_verbose: bool) -> None:
        self._out, self._log = out, log
        self._is_live = out.is_terminal and not is_verbose
        self._lines: dict[str, list[str]] = {board: [] for board in boards}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            TextColumn("{task.fields[line]}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
            console=out,
            expand=True,
            transient=True,
            disable=not self._is_live,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._is_live:
            self._progress.start()
            self._tasks = {board: self._progress.add_task(board, total=None, line="") for board in self._lines}
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def line(self, board: str, line: str) -> None:
        """One line of a board's log. Called from several threads."""
        self._lines[board] = [*self._lines[board][-LAST_LINES:], line]
        if self._is_live:
            self._progress.update(self._tasks[board], line=line)
        else:
            self._log.print(Text(f"{board} | ", "dim") + Text(line), soft_wrap=True)

    def source(self, source: Source) -> None:
        """What is built, and whether that is a commit."""
        taken = source.taken
        if taken.changed:
            shown = ", ".join(taken.changed[:MAX_CHANGED])
            more = len(taken.changed) - MAX_CHANGED
            rest = f" and {more} more" if more > 0 else ""
            self._warn(f"this is the build of no commit: {shown}{rest} are not as committed")
        elif taken.commit:
            self._say(Text(f"commit {taken.commit}", "dim"))

    def ended(self, built: Built) -> None:
        board, result = built.board, built.result
        if self._is_live:
            self._progress.remove_task(self._tasks[board])
        style = _STYLES.get(result.outcome, "bold red")
        said = f": {result.message}" if result.message else ""
        head = Text(board, "bold") + Text(f" {result.outcome.value}", style)
        self._say(head + Text(sentence(f" in {result.seconds:.2f} s{said}")))
        self._marks(result.annotations, "red")
        self._marks(result.warnings, "yellow", "warning: ")
        if result.outcome is Outcome.FAILED and self._is_live and not result.annotations:
            for line in self._lines[board][-LAST_LINES:]:
                self._say(Text(f"  | {line}", "dim"))
        self._sizes(result.sizes)
        if built.note:
            self._say(Text(sentence(f"  {built.note}"), "dim"))
        if built.trouble:
            self._log.print(Text(sentence(f"kiln: {built.trouble}")), soft_wrap=True)
        for made in (*result.artifacts, *([built.flash] if built.flash else [])):
            where = built.folder / made.name if built.folder else made.name
            self._say(Text(sentence(f"  {where} {made.size_bytes} bytes sha256:{made.digest}"), "dim"))

    def total(self, built: Sequence[Built]) -> None:
        """How many boards ended how, when there are several."""
        if len(built) > 1:
            counts = Counter(each.result.outcome for each in built)
            said = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items())
            self._say(Text(f"{len(built)} boards: {said}", "bold"))

    def _marks(self, marks: Iterable[Annotation], style: str, kind: str = "") -> None:
        """With file and line, as editors and compilers have them."""
        for each in marks:
            at = f"{each.path}:{each.line}: " if each.line else f"{each.path}: " if each.path else ""
            self._say(Text(sentence(f"  {at}{kind}{each.text}"), style))

    def _sizes(self, sizes: Sequence[Size]) -> None:
        """What fills something that has an end, as shares of it; of mere files their sum."""
        filled = [each for each in sizes if each.of_bytes or each.name == FILE_SYSTEM]
        of_files = [each.size_bytes for each in sizes if each not in filled]
        if of_files:
            count = "1 file" if len(of_files) == 1 else f"{len(of_files)} files"
            self._say(Text(f"  {count}, {sum(of_files)} bytes"))
        for each in filled:
            if not each.of_bytes:
                self._say(Text(sentence(f"  {each.name} {each.size_bytes} bytes")))
            else:
                share = each.size_bytes / each.of_bytes
                style = "red" if share > 0.95 else "yellow" if share > 0.8 else ""
                text = f"  {each.name} {each.size_bytes} of {each.of_bytes} bytes ({share:.0%})"
                self._say(Text(sentence(text), style))

    def _warn(self, text: str) -> None:
        self._say(Text("warning: ", "bold yellow") + Text(sentence(text)))

    def _say(self, text: Text) -> None:
        self._out.print(text, soft_wrap=True)
