"""Names of hosts and the addresses behind them, by the resolver of the container."""

import socket

from fetcher.words import TroubleError


def resolve(host: str, port: int) -> list[str]:
    """Raises: TroubleError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TroubleError(f"the name {host} does not resolve: {error.strerror or error}") from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))
