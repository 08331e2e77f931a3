"""A build image of the operator's own: ``image``, ``command`` and ``outputs`` of ``[build]``.

The image must have been adopted on the runner (``build-images/build.py --adopt``), which gives it the first process
of every build container. Whether a repository may use it is the service's to say (``KILN_OWN_IMAGES``).
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from runners.contract.table import Table

KEYS = ("image", "command", "outputs")
MAX_IMAGE_CHARS = 128
MAX_WORDS = 64
MAX_WORD_CHARS = 1000
MAX_OUTPUTS = 16
MAX_OUTPUT_CHARS = 200
ADOPTED = "kiln-own/"  # what the names of adopted images begin with

_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
IMAGE = re.compile(rf"{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,63}})?")
# Plain characters, "*", "?" and "**" as a whole part. What else a shell or a regular expression knows stays out.
_GLOB = re.compile(r"[A-Za-z0-9._+@=,~*? -]+(?:/[A-Za-z0-9._+@=,~*? -]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnImage:
    name: str  # as the operator calls it
    command: tuple[str, ...]  # words, run in the folder `source`; no shell looks at them
    outputs: tuple[str, ...]  # globs, relative to `source`


def adopted(name: str) -> str:
    """The image that containers are made of: the operator's, with Kiln's first process in it."""
    return f"{ADOPTED}{name}" if ":" in name else f"{ADOPTED}{name}:latest"


def read_own_image(build: Table) -> OwnImage | None:
    """None when the manifest names no image. Raises: ManifestError naming the line to fix."""
    if not any(key in build.values for key in KEYS):
        return None
    for key in KEYS:
        if key not in build.values:
            raise build.error(None, f'[build] needs "image", "command" and "outputs" together: "{key}" is missing')
    name = build.text("image", default="", max_chars=MAX_IMAGE_CHARS)
    if not IMAGE.fullmatch(name):
        raise build.error("image", f'"image" is a name like acme/zephyr or acme/zephyr:3.7, not "{name}"')
    command = build.texts("command", max_items=MAX_WORDS, max_chars=MAX_WORD_CHARS)
    if not command or not command[0]:
        raise build.error("command", '"command" is empty: name a program and its words, for example ["make", "all"]')
    return OwnImage(name=name, command=command, outputs=_outputs(build))


def _outputs(build: Table) -> tuple[str, ...]:
    outputs = build.texts("outputs", max_items=MAX_OUTPUTS, max_chars=MAX_OUTPUT_CHARS)
    if not outputs:
        raise build.error("outputs", '"outputs" is empty: name the files to keep, for example ["build/*.hex"]')
    for text in outputs:
        parts = PurePosixPath(text).parts
        if not _GLOB.fullmatch(text) or {".", ".."} & {*parts, *text.split("/")}:
            message = f'"outputs" names files below the source by plain characters, "*", "?" and "**": "{text}"'
            raise build.error("outputs", message, value=text)
        if any("**" in part and part != "**" for part in parts):
            raise build.error("outputs", f'"**" stands for whole folders, as in build/**/*.hex: "{text}"', value=text)
    return outputs
