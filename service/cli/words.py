"""Names and numbers as they are typed."""

import argparse
import urllib.parse

from service.cli.client import CommandError

MAX_DIGITS = 18  # as in addresses of the service


def part(name: str, what: str) -> str:
    """A name as one part of an address. Raises: CommandError for what no `what` can be called."""
    if name in ("", ".", "..") or "/" in name:
        raise CommandError(f"no {what} {name[:80]!r}")
    return urllib.parse.quote(name, safe="")


def number(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS or not int(text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number from 1")
    return int(text)


def hours(text: str) -> float:
    """For argparse, which says the rest of it: of `nan` and `inf` no number of seconds can be made."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of hours")
    return value
