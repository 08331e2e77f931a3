"""`kiln build --flash`: one file for a flasher beside the files of each board that there is one for."""

from dataclasses import replace

from runners import artifacts
from runners.cli.build import Built, Source
from runners.contract.job import FILES_ARTIFACT, Artifact, Limits, Outcome
from runners.flash.errors import FlashError
from runners.flash.firmware import FirmwareFolder
from runners.flash.image import has_image, make, wanted


def flashed(built: Built, source: Source, folder: FirmwareFolder) -> Built:
    """With the flash image that was written, or with why there is none. Of several boards some never have one."""
    board = next(each for each in source.boards if each.name == built.board)
    if built.result.outcome is not Outcome.SUCCEEDED:
        return built
    try:
        return replace(built, flash=_write(built, source, folder))
    except FlashError as error:
        if len(source.boards) > 1 and not has_image(board):
            return replace(built, note=str(error))
        return replace(built, trouble=str(error))


def _write(built: Built, source: Source, folder: FirmwareFolder) -> Artifact:
    assert built.folder is not None  # the command asks for --output
    board = next(each for each in source.boards if each.name == built.board)
    options = source.manifest.options_for(board.name)
    _, chosen = wanted(board, size=options.flash, variant=options.variant)
    base = folder.read(folder.find(board, chosen, options.micropython))
    files = artifacts.unpack(iter([(built.folder / FILES_ARTIFACT).read_bytes()]), Limits())
    made = make(board, files, base, size=chosen.size, variant=chosen.variant)
    try:
        (built.folder / made.name).write_bytes(made.content)
    except OSError as error:
        raise FlashError(f"{built.folder / made.name} cannot be written: {error.strerror}") from error
    return Artifact(name=made.name, digest=made.digest, size_bytes=len(made.content))
