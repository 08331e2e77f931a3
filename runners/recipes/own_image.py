"""An image of the operator's own: the repository's command runs in it, and globs say what is kept.

The container is as every build container: no network, nobody, a read-only root. The image has Kiln's first process
because it was adopted (build-images/own/Dockerfile); an image that was not is never started.
"""

import shlex
from collections.abc import Mapping

from runners import artifacts
from runners.contract.family import OUTPUTS_ARTIFACT
from runners.contract.globs import is_chosen
from runners.contract.job import Annotation, Job, Size
from runners.engine import Image
from runners.errors import RefusedError
from runners.recipes import gcc
from runners.recipes.recipe import Made, Staged, pack_tree
from runners.recipes.snapshot import Snapshot

LABEL = "kiln.adopted"  # of an adopted image: what the operator calls it
SPEAKS = ("kiln.recipe", "d8390ebc1d53aeb1")  # label of an adopted image, and the digest of build-images/own/recipe
MAX_PATH_CHARS = 100  # of an output: what every tar takes in one field
# What the characters of a glob (runners.contract.own_image) are in a regular expression, where they differ.
_REGEX = {"*": "[^/]*", "?": "[^/]", ".": "[.]", "+": "[+]"}


class Own:
    """`runners.recipes.recipe.Recipe`."""

    image = ""  # the job's own: runners.recipes.recipe.image_of
    runs_programs = True

    def stage(self, job: Job, snapshot: Snapshot, image: Image) -> Staged:
        options = job.options
        if LABEL not in image.labels:
            raise RefusedError(f"the image {options.image} was not adopted: build-images/build.py --adopt does it")
        if SPEAKS not in image.labels.items():
            raise RefusedError(f"the image {options.image} was adopted by another Kiln: build-images/build.py --adopt")
        if options.overlay:
            raise RefusedError('"overlay" is for MicroPython: the command knows the board as $BOARD')
        if options.source != "." and not snapshot.under(options.source):
            raise RefusedError(f'the folder {options.source} that "source" names is empty or missing')
        files, links = snapshot.plain({path: path for path in snapshot.files})
        tree = {f"in/{path}": content for path, content in files.items()}
        tree["folder"] = f"{options.source}\n".encode()
        tree["command"] = _command(job)
        tree["outputs"] = b"".join(word.encode() + b"\0" for word in _find(options.outputs))
        return Staged(tree=pack_tree(tree, ()), origins={path: path for path in files}, warnings=links)

    def annotations(self, log: str, staged: Staged) -> tuple[Annotation, ...]:
        return tuple(each for each in gcc.said(log, gcc.ERRORS) if each.path in staged.origins)

    def made(self, job: Job, files: Mapping[str, bytes]) -> Made:
        kept = {path: files[path] for path in sorted(files) if is_chosen(path, job.options.outputs)}
        if not kept:
            raise RefusedError(f"the command made nothing that outputs names: {', '.join(job.options.outputs)}")
        for path in kept:
            if len(path.encode()) > MAX_PATH_CHARS:
                raise RefusedError(f"the path {path[:60]!a}... of an output is longer than {MAX_PATH_CHARS} bytes")
        sizes = tuple(Size(name=path, size_bytes=len(content)) for path, content in kept.items())
        return Made(artifacts={OUTPUTS_ARTIFACT: artifacts.pack(kept)}, sizes=sizes)


def _command(job: Job) -> bytes:
    """What build-images/own/recipe gives to a shell. Every word is quoted, so that the shell only hands it on."""
    lines = [
        f"export BOARD={shlex.quote(job.board)}",
        f"exec {shlex.join(job.options.command)}",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _find(globs: tuple[str, ...]) -> list[str]:
    """The words by which GNU find chooses what `is_chosen` chooses."""
    words = ["(", "-false"]
    for each in globs:
        words += ["-o", "-regex", _regex(each)]
    return [*words, ")"]


def _regex(glob: str) -> str:
    """For -regextype posix-extended. A glob that fits a folder chooses all that is in it."""
    parts = []
    for part in glob.strip("/").split("/"):
        if part == "**":
            parts.append("(/[^/]+)*")
        else:
            parts.append("/" + "".join(_REGEX.get(char, char) for char in part))
    return f"[.]{''.join(parts)}(/.*)?"
