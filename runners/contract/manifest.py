"""The build manifest, ``kiln.toml``: what to build, for which boards.

Everything is optional: a repository with a ``main.py``, at its root or in ``src/``, builds with
what :data:`DEFAULT_BOARDS`, :data:`DEFAULT_MICROPYTHON` and :data:`DEFAULT_CHANNELS` say.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Self

from runners.contract.arduino import read_libraries
from runners.contract.board import Board, Catalogue, UnknownBoardError, suggestion
from runners.contract.dependencies import LOCK
from runners.contract.family import FAMILIES
from runners.contract.globs import is_chosen
from runners.contract.hardware import KEYS, check_family, check_micropython, read_hardware
from runners.contract.job import Options
from runners.contract.named_board import ReadFile, named_boards, nothing_else
from runners.contract.own_image import KEYS as OWN_KEYS, OwnImage, read_own_image
from runners.contract.requirement import TABLE as DEPENDENCIES, Requirement, read_requirements
from runners.contract.setting import SettingSpec, read_settings
from runners.contract.table import ManifestError, Source, Table

__all__ = ["MANIFEST", "BoardOptions", "Manifest", "ManifestError", "SettingSpec"]

MANIFEST = "kiln.toml"
MAX_MANIFEST_BYTES = 64 << 10
MAX_BOARDS = 32
MAX_NAME_CHARS = 64
MAX_PATH_CHARS = 200
MAX_EXCLUDES = 64
MAX_CHANNELS = 32
MAX_PATHS = 64

DEFAULT_BOARDS = ("esp32-generic",)  # the board that most repositories are written for
DEFAULT_MICROPYTHON = "1.28"
# Whole refs, so that a branch called v2-experiment does not become stable. The tag of a pre-release, such as
# v2.0.0-rc.1, is not stable either.
DEFAULT_CHANNELS = {
    "refs/heads/main": "beta",
    "refs/heads/master": "beta",
    "refs/tags/v*-*": "beta",
    "refs/tags/v*": "stable",
}

_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})")
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# The first MicroPython of each major version of .mpy files, newest first (docs/reference/mpyfiles).
_MPY_SINCE = (((1, 19), 6), ((1, 12), 5))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOptions:
    """What differs for one board."""

    overlay: str | None = None
    exclude: tuple[str, ...] = ()
    flash: str = ""  # its size, for example "1M"; empty: the usual
    variant: str = ""  # of its base firmware, for example "spiram"; empty: the usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """``kiln.toml``, parsed and checked."""

    name: str
    family: str
    boards: tuple[str, ...] = DEFAULT_BOARDS
    source: str = "."
    micropython: str = DEFAULT_MICROPYTHON
    exclude: tuple[str, ...] = ()
    options: Mapping[str, BoardOptions] = field(default_factory=dict)  # board -> what differs
    arches: Mapping[str, str | None] = field(default_factory=dict)  # board -> its native code
    settings: tuple[SettingSpec, ...] = ()
    channels: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_CHANNELS))
    harness: str | None = None  # a WireViz file
    paths: tuple[str, ...] = ()  # globs; a push that touches none of them is not built. Empty: all are
    dependencies: tuple[Requirement, ...] = ()  # kiln.lock says what they are, file by file
    layout: str = "kiln"  # whose rules say what goes to the board: `Options.layout`
    libraries: tuple[str, ...] = ()  # folders of Arduino libraries; empty: the usual one, if it is there
    own_image: OwnImage | None = None
    kinds: Mapping[str, Board] = field(default_factory=dict)  # each of `boards`, of the catalogue or not

    @classmethod
    def parse(
        cls,
        text: str | None,
        *,
        default_name: str,
        catalogue: Catalogue,
        default_boards: tuple[str, ...] = (),
        read: ReadFile = nothing_else,
    ) -> Self:
        """Raises: ManifestError naming the line to fix. `text` is None for a repository without manifest."""
        root = _root(text)
        firmware, build, wiring = (root.table(name) for name in ("firmware", "build", "wiring"))
        firmware.expect("name", "family", "source", "boards", "micropython", "exclude", "libraries")
        build.expect("paths", *OWN_KEYS)
        wiring.expect("harness")
        own = read_own_image(build)
        source = _path(firmware, "source") or "."
        named = named_boards(firmware, source=source, has_own_image=own is not None, read=read)
        boards = _boards(firmware, catalogue, default_boards or DEFAULT_BOARDS) if named is None else named
        micropython = _micropython(firmware, boards)
        family = _family(firmware, boards)
        return cls(
            name=_name(firmware, default_name),
            family=family,
            boards=tuple(each.name for each in boards),
            source=source,
            micropython=micropython,
            exclude=_exclude(firmware),
            options=_options(root, boards),
            arches={each.name: each.arch_for(micropython) for each in catalogue.boards.values()},
            settings=read_settings(root),
            channels=_channels(root.table("channels")),
            harness=_path(wiring, "harness"),
            paths=build.texts("paths", max_items=MAX_PATHS, max_chars=MAX_PATH_CHARS),
            dependencies=read_requirements(root, family),
            libraries=read_libraries(firmware),
            own_image=own,
            kinds={each.name: each for each in boards},
        )

    def board(self, name: str) -> Board:
        """One of `boards`. Raises: KeyError."""
        return self.kinds[name]

    def options_for(self, board: str) -> Options:
        """What a job for `board` is told. An overlay of another board is not part of its source."""
        own = self.options.get(board, BoardOptions())
        others = (each.overlay for name, each in self.options.items() if name != board)
        inside = tuple(f"{path}/**" for each in others if each != own.overlay and (path := self._in_source(each)))
        return Options(
            source=self.source,
            overlay=own.overlay,
            exclude=self.exclude + own.exclude + inside,
            micropython=self.micropython,
            arch=self.arches.get(board),
            flash=own.flash,
            variant=own.variant,
            settings=tuple(each.name for each in self.settings),
            layout=self.layout,
            libraries=self.libraries,
            image=self.own_image.name if self.own_image else "",
            command=self.own_image.command if self.own_image else (),
            outputs=self.own_image.outputs if self.own_image else (),
        )

    def wants(self, changed: Iterable[str]) -> bool:
        """Whether a push that touched these paths is to be built. The manifest and its lock always count."""
        return not self.paths or any(path in (MANIFEST, LOCK) or is_chosen(path, self.paths) for path in changed)

    def channel_for(self, ref: str) -> str | None:
        """The channel that `ref` feeds: the first pattern that fits. A pattern without ``refs/`` fits both."""
        short = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        for pattern, channel in self.channels.items():
            if fnmatch.fnmatchcase(ref if pattern.startswith("refs/") else short, pattern):
                return channel
        return None

    def _in_source(self, path: str | None) -> str | None:
        if path is None or self.source == ".":
            return path
        inside = PurePosixPath(path)
        return inside.relative_to(self.source).as_posix() if inside.is_relative_to(self.source) else None


def _root(text: str | None) -> Table:
    if text is not None and len(text.encode()) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{MANIFEST} is larger than {MAX_MANIFEST_BYTES} bytes")
    root = Source(MANIFEST, text or "").tables()
    root.expect("firmware", "boards", "settings", "channels", "wiring", "build", DEPENDENCIES)
    return root


def _boards(firmware: Table, catalogue: Catalogue, default: tuple[str, ...]) -> list[Board]:
    names = firmware.texts("boards", max_items=MAX_BOARDS, max_chars=MAX_NAME_CHARS)
    if "boards" in firmware.values and not names:
        raise firmware.error("boards", '"boards" is empty: name at least one board, or leave it out')
    for name in names:
        if names.count(name) > 1:
            raise firmware.error("boards", f'"boards" names {name} twice', value=name)
    found = []
    for name in names or default:
        try:
            found.append(catalogue.board(name))
        except UnknownBoardError as error:
            raise firmware.error("boards", str(error), value=name) from error
    return found


def _family(firmware: Table, boards: list[Board]) -> str:
    family = firmware.text("family", default=boards[0].family, max_chars=MAX_NAME_CHARS)
    if "family" in firmware.values and family not in FAMILIES:
        raise firmware.error("family", f'unknown family "{family}"{suggestion(family, tuple(FAMILIES))}')
    for board in boards:
        if board.family != family and "boards" not in firmware.values:
            raise firmware.error("family", f'family "{family}" needs "boards": name at least one board of it')
        if board.family != family:
            message = f'{board.name} is a board of family "{board.family}", not "{family}"'
            raise firmware.error("family" if "family" in firmware.values else "boards", message)
    check_family(firmware, boards)
    return family


def _name(firmware: Table, default: str) -> str:
    if "name" not in firmware.values:
        return (re.sub(r"[^A-Za-z0-9._-]+", "-", default).strip("-._") or "firmware")[:MAX_NAME_CHARS]
    name = firmware.text("name", default="", max_chars=MAX_NAME_CHARS)
    if not _NAME.fullmatch(name):
        raise firmware.error("name", '"name" has letters, digits, ".", "_", "-", and begins with a letter or digit')
    return name


def _micropython(firmware: Table, boards: list[Board]) -> str:
    text = firmware.text("micropython", default=DEFAULT_MICROPYTHON, max_chars=20)
    version = _VERSION.fullmatch(text)
    if not version:
        raise firmware.error("micropython", f'"micropython" is major.minor, for example "1.28", not "{text}"')
    number = (int(version[1]), int(version[2]))
    mpy = next((mpy for since, mpy in _MPY_SINCE if number >= since), 0)
    for board in boards:
        if board.mpy not in {0, mpy}:
            message = f"MicroPython {text} makes .mpy files of version {mpy}, {board.name} loads version {board.mpy}"
            raise firmware.error("micropython", message)
    check_micropython(firmware, text, boards)
    return text


def _options(root: Table, boards: list[Board]) -> dict[str, BoardOptions]:
    names = tuple(each.name for each in boards)
    options = {}
    for name, table in root.tables("boards", max_items=MAX_BOARDS).items():
        if name not in names:
            raise table.error(None, f'[boards.{name[:80]}] is not in "boards" of [firmware]{suggestion(name, names)}')
        table.expect("overlay", "exclude", *KEYS)
        flash, variant = read_hardware(table, boards[names.index(name)])
        options[name] = BoardOptions(
            overlay=_path(table, "overlay"), exclude=_exclude(table), flash=flash, variant=variant
        )
    return options


def _exclude(table: Table) -> tuple[str, ...]:
    return table.texts("exclude", max_items=MAX_EXCLUDES, max_chars=MAX_PATH_CHARS)


def _channels(table: Table) -> dict[str, str]:
    if len(table.values) > MAX_CHANNELS:
        raise table.error(None, f"[channels] has {len(table.values)} lines, at most {MAX_CHANNELS} are allowed")
    channels = {}
    for pattern in table.values:
        channel = table.text(pattern, default="", max_chars=MAX_NAME_CHARS)
        if not _CHANNEL.fullmatch(channel):
            raise table.error(pattern, f"a channel has a-z, 0-9, '.', '_', '-', at most 32: {channel!r}")
        channels[pattern] = channel
    return channels or dict(DEFAULT_CHANNELS)


def _path(table: Table, key: str) -> str | None:
    text = table.optional_text(key, max_chars=MAX_PATH_CHARS)
    if text is None:
        return None
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or "\\" in text:
        raise table.error(key, f'"{key}" must be a path inside the repository, without "..": "{text}"')
    return path.as_posix()
