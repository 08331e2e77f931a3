"""Which files of a repository go to the board, and under which path."""

from runners.contract import pepeunit
from runners.contract.dependencies import LOCK
from runners.contract.globs import is_chosen
from runners.contract.job import Job
from runners.errors import RefusedError
from runners.recipes import ignore, unit
from runners.recipes.chosen import MAIN, Chosen
from runners.recipes.snapshot import Snapshot

NEVER = ("**/.*", "**/__pycache__")  # what tools leave around
# When the source is the root.
ROOT_ONLY = ("kiln.toml", LOCK, "README*", "LICENSE*", "CHANGELOG*", "*.md", "docs", "tests")
KILN_IGNORE = ".kilnignore"


def choose(job: Job, snapshot: Snapshot) -> Chosen:
    """The source folder, with the overlay laid over it, without what is left out.

    Raises: RefusedError when a folder that the manifest names is missing, or there is nothing to start.
    """
    options = job.options
    source = options.source
    if source == "." and MAIN not in snapshot.files and f"src/{MAIN}" in snapshot.files:
        source = "src"
    below = snapshot.under(source)
    if not below:
        raise RefusedError(f'the folder {source} that "source" names is empty or missing')
    overlay = snapshot.under(options.overlay) if options.overlay else {}
    if options.overlay and not overlay:
        raise RefusedError(f'the folder {options.overlay} that "overlay" names for {job.board} is empty or missing')
    laid_over = set(overlay.values())
    origins = {path: origin for path, origin in below.items() if origin not in laid_over} | overlay
    exclude = NEVER + options.exclude + (ROOT_ONLY if source == "." else ())
    origins = {path: origin for path, origin in origins.items() if not is_chosen(path, exclude)}
    chosen = _without_ignored(snapshot, origins, source, laid_over, options.layout)
    if MAIN not in chosen:
        was = f" that is not left out by {KILN_IGNORE} or exclude" if MAIN in origins or MAIN in below else ""
        raise RefusedError(f"there is no main.py in {source}{was}: the board would have nothing to run")
    return unit.arrange(chosen, snapshot) if options.layout == pepeunit.LAYOUT else Chosen(origins=chosen)


def _without_ignored(
    snapshot: Snapshot, origins: dict[str, str], source: str, laid_over: set[str], layout: str
) -> dict[str, str]:
    """A file at the root speaks of paths in the repository, one in the source folder of paths on the board.

    An overlay is named by the manifest, so a pattern for the folder that it is in does not take it away.
    """
    root = {path: path if origin in laid_over else origin for path, origin in origins.items()}
    files = [(KILN_IGNORE, root), (f"{source}/{KILN_IGNORE}", {path: path for path in origins})]
    if layout == pepeunit.LAYOUT:
        files.append((pepeunit.IGNORE, root))
    ignored: set[str] = set()
    for name, named in files:
        if name not in snapshot.files:
            continue
        content = snapshot.files[name]
        if content is None:
            raise RefusedError(f"{name} is a symbolic link: replace it by the file")
        hit = ignore.Ignore.parse(content, name=name).chosen(set(named.values()))
        ignored |= {path for path, each in named.items() if each in hit}
    return {path: origin for path, origin in origins.items() if path not in ignored}
