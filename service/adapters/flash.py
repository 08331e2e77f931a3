"""Flash images by `runners.flash`: made in memory, a few of the last ones kept there."""

import io
import pathlib
import tarfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Self

from runners.contract.board import Catalogue, UnknownBoardError
from runners.contract.job import Options
from runners.flash.errors import FlashError
from runners.flash.firmware import FirmwareFolder
from runners.flash.image import FlashImage, has_image, holds_agent, image_name, make, wanted
from service.domain import bundle
from service.domain.errors import NotFoundError
from service.domain.first_install import NewBoard
from service.domain.flash import FlashFile, FlashPart
from service.ports import Objects

MAX_KEPT_BYTES = 64 << 20  # of images that were made; a board's is 1 to 16 MiB

Key = tuple[str, str, str, str, str, str]


@dataclass(slots=True)
class FlashMaker:
    """`service.ports.FlashImages`. What an image is made of names it, so one that is kept is never out of date."""

    objects: Objects
    catalogue: Catalogue
    folder: FirmwareFolder
    _kept: "OrderedDict[Key, FlashFile]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def over(cls, objects: Objects, catalogue: Catalogue, folder: pathlib.Path) -> Self:
        return cls(objects, catalogue, FirmwareFolder(folder, catalogue))

    def name(self, board: str, options: Options) -> str:
        try:
            found = self.catalogue.board(board)
            if not has_image(found):
                return ""
            _, chosen = wanted(found, size=options.flash, variant=options.variant)
            self.folder.find(found, chosen, options.micropython)
        except (FlashError, UnknownBoardError) as error:
            raise NotFoundError(str(error)) from error
        return image_name(found, chosen)

    def make(self, board: str, options: Options, files: str, new: NewBoard | None) -> FlashFile:
        try:
            found = self.catalogue.board(board)
            _, chosen = wanted(found, size=options.flash, variant=options.variant)
            firmware = self.folder.find(found, chosen, options.micropython)
            key = (board, chosen.size, chosen.variant, firmware.digest, files, new.digest if new else "")
            if kept := self._get(key):
                return kept
            base, content = self.folder.read(firmware), self._files(files)
            frozen = holds_agent(found, base)
            if new is not None:
                board_of = replace(new, agent=()) if frozen else new
                content = board_of.lay_out(bundle.file(*each) for each in content.items())
            made = _file(make(found, content, base, size=chosen.size, variant=chosen.variant), frozen=frozen)
        except (FlashError, UnknownBoardError) as error:
            raise NotFoundError(str(error)) from error
        self._keep(key, made)
        return made

    def _files(self, digest: str) -> dict[str, bytes]:
        """The files of an artifact that a runner packed (`runners.artifacts.pack`)."""
        packed = io.BytesIO(b"".join(self.objects.read(digest)))
        found = {}
        with tarfile.open(fileobj=packed, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None:
                    found[member.name] = content.read()
        return found

    def _get(self, key: Key) -> FlashFile | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: Key, made: FlashFile) -> None:
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > 1 and sum(len(each.content) for each in self._kept.values()) > MAX_KEPT_BYTES:
                self._kept.popitem(last=False)


def _file(made: FlashImage, *, frozen: bool) -> FlashFile:
    parts = tuple(FlashPart(at=each.at, digest=each.digest, content=each.content) for each in made.parts)
    return FlashFile(
        name=made.name, digest=made.digest, content=made.content, parts=parts, chip=made.chip, has_agent=frozen
    )
