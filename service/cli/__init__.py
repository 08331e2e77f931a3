"""The commands that speak to a running Kiln over its HTTP API: one module for each noun."""

import argparse
import os
import shutil
import sys
from typing import Any

from service.cli import (
    agent,
    audit,
    boards,
    builds,
    connections,
    devices,
    inventory,
    keys,
    people,
    releases,
    repos,
    rollouts,
    settings,
    show,
)
from service.cli.client import Client, CommandError
from service.domain.summary import plain

__all__ = ["Client", "add_commands", "run"]


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    fleet = (releases, rollouts, devices, inventory, settings, agent)
    for noun in (boards, connections, repos, builds, *fleet, people, keys, audit):
        noun.add_commands(commands)
    for each in commands.choices.values():
        show.add_json(each)


def run(client: Client, given: argparse.Namespace) -> int:
    """Do one command; its exit code, 1 also where it did a part only: `given.failed`."""
    try:
        answer = given.act(client, given)
        if answer is not None:  # else it has printed what there is
            print(_shown(answer, given), flush=True)
    except CommandError as error:
        print(f"kiln: {plain(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has seen enough, as `head` does; what is left must go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UnicodeEncodeError:  # bytes of another encoding, which no address and no JSON can hold
        print("kiln: what was typed is no text in UTF-8", file=sys.stderr)
        return 1
    except OSError as error:  # of a file of whoever is at the keyboard: the service's own are told by sentences
        print(f"kiln: {plain(str(error))}", file=sys.stderr)
        return 1
    return int(getattr(given, "failed", False))


def _shown(answer: Any, given: argparse.Namespace) -> str:
    as_json = getattr(given, "json", False) or not sys.stdout.isatty()
    width = shutil.get_terminal_size((show.WIDTH, 24)).columns
    columns, notes = getattr(given, "columns", ()), getattr(given, "notes", ())
    inside = getattr(given, "inside", {})
    return show.text(answer, columns, as_json=as_json, width=width, notes=notes, inside=inside)
