"""`kiln …` as people type it, against a service over HTTP."""

import argparse
import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette

from service import cli
from tests.fakes.site import ADMIN_TOKEN
from tests.servers import free_port, http_server


@contextlib.contextmanager
def terminal_of(app: Starlette, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator["Terminal"]:
    """While a server has this application."""
    port = free_port()
    with http_server(app, port):
        yield Terminal(port, capsys, folder)


class Terminal:
    """HERE in a line is `folder`."""

    def __init__(self, port: int, capsys: pytest.CaptureFixture[str], folder: pathlib.Path) -> None:
        self.folder = folder
        self._url, self._capsys = f"http://127.0.0.1:{port}", capsys

    def run(self, line: str, *, token: str = ADMIN_TOKEN) -> tuple[int, Any]:
        """Exit code, and what was printed: JSON as what it says."""
        code, out, err = self.streams(*(word.replace("HERE", str(self.folder)) for word in line.split()), token=token)
        try:
            return code, json.loads(out)
        except ValueError:
            return code, out + err

    def text(self, *words: str, token: str = ADMIN_TOKEN) -> tuple[int, str]:
        """Exit code, and what was printed, as it is; of a failure what went to the error stream."""
        code, out, err = self.streams(*words, token=token)
        return code, err if code else out

    def streams(self, *words: str, token: str = ADMIN_TOKEN) -> tuple[int, str, str]:
        """Exit code, and what went to the output and to the error stream."""
        parser = argparse.ArgumentParser()
        cli.add_commands(parser.add_subparsers(required=True))
        code = cli.run(cli.Client(url=self._url, token=token), parser.parse_args(words))
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err
