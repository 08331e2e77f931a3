"""`kiln agent`: the program on boards that takes updates, and its own releases."""

from typing import Any

from service.cli.devices import add_many

PATH = "/api/v1/agent"


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    agent = commands.add_parser("agent", help="the update agent on boards").add_subparsers(required=True)
    show = agent.add_parser("show", help="its newest release")
    # None would say that all there is was printed already.
    show.set_defaults(act=lambda client, _: client.call("GET", PATH) or "null")
    release = agent.add_parser("release", help="compile and sign the agent that this Kiln carries; no device takes it")
    release.set_defaults(act=lambda client, _: client.call("POST", PATH))
    add_many(agent, "update", "agent", "order the agent that this Kiln carries for devices")
