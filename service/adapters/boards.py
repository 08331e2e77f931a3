"""The boards that this Kiln builds for: which there are, their flash images, who may build in an image of their own."""

import pathlib
from dataclasses import dataclass
from typing import Self

from runners.contract.board import Catalogue
from service.adapters.flash import FlashMaker
from service.adapters.own_images import read_own_images
from service.domain.own_images import OwnImages
from service.ports import Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Boards:
    catalogue: Catalogue
    flash: FlashMaker
    own_images: OwnImages

    @classmethod
    def load(cls, objects: Objects, *, firmware: pathlib.Path, own_images: str) -> Self:
        """`firmware` is the folder with base firmware, `own_images` the operator's file, empty for none.

        Raises: BadInputError when that file cannot be read.
        """
        catalogue = Catalogue.load()
        flash = FlashMaker.over(objects, catalogue, firmware)
        return cls(catalogue=catalogue, flash=flash, own_images=read_own_images(own_images))
