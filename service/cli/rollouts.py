"""`kiln rollouts`."""

import argparse
import json
import pathlib
import sys
import tomllib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from service.cli import words
from service.cli.client import Client, CommandError, unreadable
from service.cli.rollout_screen import follow, picture, when_over

PATH = "/api/v1/rollouts"
PLANS = "/api/v1/plans"
COLUMNS = ("id", "repository", "channel", "version", "state", "stage", "stages", "why", "created_at")
HOURS = 3600


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    rollouts = commands.add_parser("rollouts", help="how releases reach devices").add_subparsers(required=True)
    listing = rollouts.add_parser("list", help="the newest first")
    listing.add_argument("--repository", default="", help="forge/owner/name")
    listing.add_argument("--channel", default="")
    listing.add_argument("--limit", type=words.number, default=20)
    listing.set_defaults(act=_list, columns=COLUMNS)
    show = _of_one(rollouts, "show", "how far it is, who failed and why")
    show.set_defaults(act=_show)
    devices = _of_one(rollouts, "devices", "what became of each device")
    devices.add_argument("--state", default="", help="pending, ordered, done, failed, held or left")
    devices.add_argument("--after", default="", help="the devices after this one")
    devices.set_defaults(act=_devices, columns=("device", "stage", "state", "reason", "tries", "since"))
    following = _of_one(rollouts, "follow", "watch it until it ends, or until somebody has to decide")
    following.set_defaults(act=lambda client, given: follow(client, f"{PATH}/{given.rollout}"))
    _of_one(rollouts, "pause", "tell nobody any more; who was told goes on").set_defaults(act=_deed("pause"))
    resume = _of_one(rollouts, "resume", "go on; what has failed up to now stops it no more")
    resume.set_defaults(act=_deed("resume"))
    approve = _of_one(rollouts, "approve", "let the stage begin that waits for it")
    approve.set_defaults(act=_deed("approve"))
    abort = _of_one(rollouts, "abort", "give it up; who was told and did not update is called back")
    abort.add_argument("--why", default="", help="for whoever reads of it later")
    abort.set_defaults(act=_abort)
    retry = _of_one(rollouts, "retry", "try those again that failed")
    retry.add_argument("devices", nargs="*", metavar="ID", help="only these")
    retry.set_defaults(act=_deed("retry", lambda given: {"devices": given.devices} if given.devices else {}))
    replan = _of_one(rollouts, "replan", "another plan for this one; once it began, its stages keep their devices")
    replan.add_argument("--file", required=True, help="the whole plan, in TOML (docs/fleet.md); - is standard input")
    replan.set_defaults(act=_replan)
    _add_plan(rollouts)


def _of_one(rollouts: Any, name: str, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = rollouts.add_parser(name, help=text)
    command.add_argument("rollout", type=words.number, help="its number, as `kiln rollouts list` has it")
    return command


def _add_plan(rollouts: Any) -> None:
    plan = rollouts.add_parser("plan", help="show or change how releases are rolled out that come to a channel")
    plan.add_argument("channel", help="like stable")
    plan.add_argument("--repository", required=True, help="forge/owner/name")
    plan.add_argument("--file", help="the whole plan, in TOML (docs/fleet.md); - is standard input")
    plan.add_argument("--default", action="store_true", help="as by default: one device first, then all")
    plan.add_argument("--canary", type=int, metavar="COUNT", help="so many devices first, which must all succeed")
    plan.add_argument("--percent", default="", metavar="SHARE[,SHARE...]", help="then these shares of all devices")
    plan.add_argument("--soak", type=words.hours, default=0, metavar="HOURS", help="after each stage but the last")
    plan.add_argument("--errors", type=float, default=20, metavar="PERCENT", help="of a stage that stop it; default 20")
    plan.add_argument("--per-minute", type=int, default=0, metavar="DEVICES", help="at most; 0: no limit")
    plan.add_argument("--approval", action="store_true", help="somebody approves before the last stage")
    plan.set_defaults(act=_plan)


def _list(client: Client, given: argparse.Namespace) -> Any:
    asked = {"repository": given.repository, "channel": given.channel, "limit": given.limit}
    return client.call("GET", f"{PATH}?{urlencode({name: each for name, each in asked.items() if each})}")


def _show(client: Client, given: argparse.Namespace) -> Any:
    found = client.call("GET", f"{PATH}/{given.rollout}")
    return found if given.json or not sys.stdout.isatty() else picture(found)


def _devices(client: Client, given: argparse.Namespace) -> Any:
    asked = {name: each for name, each in (("state", given.state), ("after", given.after)) if each}
    return client.call("GET", f"{PATH}/{given.rollout}/devices?{urlencode(asked)}")


def _deed(
    name: str, body: Callable[[argparse.Namespace], dict[str, Any]] = lambda _given: {}
) -> Callable[[Client, argparse.Namespace], Any]:
    def act(client: Client, given: argparse.Namespace) -> Any:
        found = client.call("POST", f"{PATH}/{given.rollout}/{name}", body(given))
        return found if given.json or not sys.stdout.isatty() else picture(found)

    return act


def _abort(client: Client, given: argparse.Namespace) -> Any:
    """What is shown is how it ended: the service calls devices back after it has answered."""
    path = f"{PATH}/{given.rollout}"
    client.call("POST", f"{path}/abort", {"why": given.why})
    found = when_over(client, path)
    if found["finished_at"] is None:
        print(f"devices are still being called back: kiln rollouts show {given.rollout}", file=sys.stderr)
    return found if given.json or not sys.stdout.isatty() else picture(found)


def _replan(client: Client, given: argparse.Namespace) -> Any:
    found = client.call("PUT", f"{PATH}/{given.rollout}/plan", {"plan": _read(given.file)})
    return found if given.json or not sys.stdout.isatty() else picture(found)


def _plan(client: Client, given: argparse.Namespace) -> Any:
    whose = {"repository": given.repository, "channel": given.channel}
    by_flags = given.canary is not None or bool(given.percent)
    if sum((bool(given.file), given.default, by_flags)) > 1:
        raise CommandError("say one of --file, --default, and the options of stages")
    if given.default:
        return client.call("DELETE", f"{PLANS}?{urlencode(whose)}")
    if given.file:
        return client.call("PUT", PLANS, {**whose, "plan": _read(given.file)})
    if by_flags:
        return client.call("PUT", PLANS, {**whose, "plan": _of_flags(given)})
    return client.call("GET", f"{PLANS}?{urlencode(whose)}")


def _of_flags(given: argparse.Namespace) -> dict[str, Any]:
    try:
        shares = [float(each) for each in given.percent.split(",") if each]
    except ValueError as error:
        raise CommandError("--percent is numbers with commas between them") from error
    first = [{"count": given.canary, "error_count": 1}] if given.canary else []
    stages = [*first, *({"percent": each, "error_percent": given.errors} for each in shares)]
    stages = [{**each, "soak_s": round(given.soak * HOURS)} for each in stages]
    last = {"error_percent": given.errors, "approval": given.approval and bool(stages)}
    return {"stages": [*stages, last], "per_minute": given.per_minute}


def _read(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if name == "-" else pathlib.Path(name).read_text("utf-8")
        plan = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(unreadable(name, error)) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CommandError(f"{name} is not TOML: {error}") from error
    if hasattr(plan.get("start"), "isoformat"):  # TOML knows times
        plan["start"] = plan["start"].isoformat()
    try:
        json.dumps(plan)
    except (TypeError, RecursionError) as error:
        raise CommandError(f"{name} is no plan: a time is for `start` alone (docs/fleet.md)") from error
    return plan
