"""Numbers in addresses: Starlette's own take any length, and Python refuses to read more than 4,300 digits."""

from starlette.convertors import Convertor, register_url_convertor


class PathNumber(Convertor[int]):
    """`{name:int}`, as long as a database holds. Another one fits no route, and is not found."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


def shorten_path_numbers() -> None:
    """For all routes that are made from now on."""
    register_url_convertor("int", PathNumber())
