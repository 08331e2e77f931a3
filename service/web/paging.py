"""Lists that come page by page: `?limit=&after=`."""

from starlette.requests import Request

from service.domain.errors import BadInputError

DEFAULT_LIMIT, MAX_LIMIT = 100, 500  # of a page
MAX_NUMBER = 2**63 - 1  # what the database counts to


def page_of(request: Request) -> tuple[int, int | None]:
    """`limit` and `after` of a list that is counted downwards. Raises: BadInputError."""
    return limit_of(request), number_of(request, "after", 0) if "after" in request.query_params else None


def limit_of(request: Request) -> int:
    """Raises: BadInputError."""
    limit = number_of(request, "limit", DEFAULT_LIMIT)
    if not 0 < limit <= MAX_LIMIT:
        raise BadInputError(f"limit is a number from 1 to {MAX_LIMIT}")
    return limit


def number_of(request: Request, name: str, default: int) -> int:
    """A number of the query. Raises: BadInputError."""
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > len(str(MAX_NUMBER)) or int(text) > MAX_NUMBER:
        raise BadInputError(f"{name} is a whole number")
    return int(text)
