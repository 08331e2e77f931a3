"""Git on a folder that somebody else may have configured: nothing that its configuration names is run.

What needs no content is asked of the folder's own repository. Content is read in a repository of our own that has the
other's objects and no settings, so no filter changes a byte, and no file is believed to be as it was.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator

from runners.errors import RefusedError

TIMEOUT_S = 60
_OF_ANOTHER = b"dubious ownership"  # git's word, in the C locale
_OF_SHA1 = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfilemode = {filemode}\n"
_OF_SHA256 = _OF_SHA1.replace("= 0", "= 1") + "[extensions]\n\tobjectFormat = sha256\n"
_LONG_AGO_S = 1  # as the time of an index: older than every file, so that all of them are read

Git = Callable[..., bytes]  # the words of a command, and what it answers


def ask(folder: pathlib.Path, *words: str) -> bytes:
    """What git answers about refs, settings and names of files; nothing when this is no work tree, or without git.

    Only for commands that read no file's content: the folder's filters would be run.
    Raises: RefusedError for a work tree of another user: without git what it ignores would be taken along.
    """
    plain = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    command = ["env", "LC_ALL=C", "GIT_NO_LAZY_FETCH=1", "git", *plain, "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=TIMEOUT_S).stdout
    except subprocess.CalledProcessError as error:
        if _OF_ANOTHER in error.stderr:
            said = f"`git config --global --add safe.directory {folder.resolve()}` says that you trust it"
            raise RefusedError(f"{folder} belongs to another user, so git does not read it: {said}") from error
    except (OSError, subprocess.SubprocessError):
        pass
    return b""


@contextlib.contextmanager
def borrow(folder: pathlib.Path, commit: str) -> Iterator[Git]:
    """Git in a repository of our own that is at `commit`, with the folder's objects, index and files.

    Raises: RefusedError when git cannot do it.
    """
    with tempfile.TemporaryDirectory(prefix="kiln-git.") as place:
        own = pathlib.Path(place)
        index, objects, top = _paths(folder)
        filemode = ask(folder, "config", "--type=bool", "--default=true", "--get", "core.fileMode").decode().strip()
        (own / "refs").mkdir()
        (own / "HEAD").write_text(f"{commit}\n", "utf-8")
        (own / "config").write_text((_OF_SHA256 if len(commit) == 64 else _OF_SHA1).format(filemode=filemode), "utf-8")
        for each in (index, *index.parent.glob("sharedindex.*")):
            if each.is_file():
                shutil.copyfile(each, own / each.name)
                os.utime(own / each.name, (_LONG_AGO_S, _LONG_AGO_S))
        settings = {
            "PATH": os.defpath,
            "HOME": place,
            "LC_ALL": "C",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": place,
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_WORK_TREE": str(top),
        }
        yield lambda *words: _run(folder, settings, words)


def _paths(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Of its index, its objects, and the top of its work tree."""
    words = ("rev-parse", "--git-path", "index", "--git-path", "objects", "--show-toplevel")
    found = ask(folder, *words).splitlines()
    if len(found) != 3:  # as with a line feed in a path
        raise RefusedError(f"git cannot read {folder}")
    return tuple((folder / os.fsdecode(each)).resolve() for each in found)


def _run(folder: pathlib.Path, settings: dict[str, str], words: tuple[str, ...]) -> bytes:
    command = [shutil.which("git") or "git", *words]
    try:
        done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, check=True, timeout=TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip()[-300:]
        raise RefusedError(f"git cannot read {folder}: {said}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise RefusedError(f"git cannot read {folder}: {error}") from error
    return done.stdout
