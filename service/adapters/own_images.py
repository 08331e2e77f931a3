"""The file in which the operator says who may build in which image."""

import pathlib

from service.domain.errors import BadInputError
from service.domain.own_images import MAX_FILE_BYTES, SETTING, OwnImages


def read_own_images(name: str) -> OwnImages:
    """What the file that KILN_OWN_IMAGES names allows; nothing without a file. Raises: BadInputError."""
    if not name:
        return OwnImages()
    try:
        with pathlib.Path(name).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise BadInputError(f"it is larger than {MAX_FILE_BYTES} bytes")  # noqa: TRY301  # the file is named below
        return OwnImages.parse(content.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{SETTING}: {name} is no readable text file ({error})") from error
    except BadInputError as error:
        raise BadInputError(f"{SETTING}: {name}: {error}") from error
