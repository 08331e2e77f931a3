"""`kiln`: the command line. The only module of the service that reads the environment."""

import argparse
import ctypes
import os
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

from service import cli, supervisor
from service.adapters.instance import load_instance
from service.domain.errors import BadInputError, KilnError
from service.domain.summary import plain
from service.settings import Settings

PR_SET_PDEATHSIG = 1  # prctl(2)
INTERRUPTED = 128 + signal.SIGINT  # as shells say it
# Read by other commands than `serve`: not settings of the service.
OTHERS = ("KILN_PARENT", "KILN_READY", "KILN_URL", "KILN_TOKEN", "KILN_RUNNER_NAME", "KILN_DEPENDENCY_INDEX")


def main(arguments: Sequence[str] | None = None) -> int:
    given_arguments = list(sys.argv[1:] if arguments is None else arguments)
    if given_arguments[:1] and given_arguments[0] in ("build", "firmware", "lock"):
        # Another package, which holds the Docker socket: another process, too.
        os.execv(sys.executable, [sys.executable, "-m", "runners", *given_arguments])  # noqa: S606
    parser = argparse.ArgumentParser(prog="kiln", description="git push in, signed firmware out.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("serve", help="run all of Kiln: service, runners, broker").set_defaults(act=_serve)
    commands.add_parser("service", help="run the service process alone").set_defaults(act=_service)
    commands.add_parser("broker", help="run the embedded MQTT broker alone").set_defaults(act=_broker)
    commands.add_parser("build", help="build PATH for every board of its manifest, without any service")
    commands.add_parser("firmware", help="base firmware for flash images: list, fetch")
    commands.add_parser("lock", help="lock PATH: write kiln.lock, which says what [dependencies] are")
    _add_verify(commands)
    cli.add_commands(commands)
    given = parser.parse_args(given_arguments)
    try:
        if given.act is _verify:
            return int(_verify(given))
        if given.act in (_serve, _service, _broker):
            return int(given.act())
        return cli.run(_client(), given)
    except KilnError as error:
        print(f"kiln: {plain(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # of a command: what serves ends in order
        return INTERRUPTED


def _serve() -> int:
    _log()
    settings = _settings()
    instance = load_instance(settings.data)
    with supervisor.only_one(settings, "serve"):
        said = f"Kiln: {settings.url}\nadmin token: {settings.admin_token or instance.admin_token}"
        supervisor.Supervisor(
            supervisor.children(settings, instance, os.environ), ready=lambda: print(said, flush=True)
        ).run()
    return 0


def _service() -> int:
    from service import app  # noqa: PLC0415  # the other commands start without the service's libraries

    _log()
    _die_with_parent()
    settings = _settings()
    with supervisor.only_one(settings, "service"):
        app.serve(settings, listening=_say_ready)
    return 0


def _broker() -> int:
    from service.adapters import broker_embedded  # noqa: PLC0415
    from service.adapters.broker_rights import Home  # noqa: PLC0415

    _log()
    _die_with_parent()
    settings = _settings()
    broker_embedded.serve(
        broker_embedded.BrokerSettings(
            host=settings.mqtt_listen or settings.host,
            port=settings.mqtt_port,
            folder=settings.data / "broker",
            service_password=settings.mqtt_password or load_instance(settings.data).mqtt_password,
            home=Home(prefix=settings.home_assistant, password=settings.home_assistant_password)
            if settings.home_assistant
            else None,
            tls_port=settings.mqtt_tls_port,
            certificate=pathlib.Path(settings.mqtt_cert),
            key=pathlib.Path(settings.mqtt_key),
        )
    )
    return 0


def _add_verify(commands: Any) -> None:  # argparse's subparsers have no public type
    verify = commands.add_parser("verify", help="is this bundle what it says it is? 0: yes, 1: no, 2: cannot be told")
    verify.add_argument("bundle", type=pathlib.Path, help="bundle.kiln, or an artifact of a release")
    verify.add_argument("--build", type=int, default=0, help="the build that it has to be of; an artifact needs it")
    verify.add_argument("--board", default="", help="the board that it has to be for")
    verify.add_argument("--service", default="", help="address of a Kiln to ask; default KILN_URL")
    verify.add_argument("--key", type=pathlib.Path, help="the release key: trust.json, keys.json or PEM")
    verify.add_argument("--provenance", type=pathlib.Path, help="provenance.json, instead of asking the service")
    verify.add_argument("--sbom", type=pathlib.Path, help="sbom.json, instead of asking the service")
    verify.add_argument("--source", type=pathlib.Path, help="a git repository with the commit, or its snapshot.tar")
    verify.add_argument(
        "--rebuild",
        action=argparse.BooleanOptionalAction,
        help="build it again and compare the bytes; unless said otherwise, when that is possible",
    )
    verify.add_argument("--json", action="store_true", help="answer as JSON")
    verify.set_defaults(act=_verify)


def _verify(given: argparse.Namespace) -> int:
    from service.cli.verify import verify  # noqa: PLC0415  # signatures and colours, for this command alone

    is_offline = given.key and given.provenance and not given.service
    return verify(given, None if is_offline else _client(given.service))


def _settings() -> Settings:
    return Settings.from_environment({name: os.environ[name] for name in os.environ if name not in OTHERS})


def _client(url: str = "") -> cli.Client:
    """Of this service, or of our own. Tokens are for our own alone."""
    ours = os.environ.get("KILN_URL") or f"http://127.0.0.1:{os.environ.get('KILN_PORT') or 8080}"
    if url.rstrip("/") not in ("", ours.rstrip("/")):
        return cli.Client(url=url, token="")
    token = os.environ.get("KILN_TOKEN", "")
    if not token:
        kept = _settings().data / "admin.token"
        try:
            token = kept.read_text().strip() if kept.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(f"{kept} cannot be read ({error}): set KILN_TOKEN") from error
    return cli.Client(url=ours, token=token)


def _say_ready() -> None:
    """To the supervisor that started us, if one did."""
    if end := os.environ.get("KILN_READY"):
        os.write(int(end), b"\n")


def _die_with_parent() -> None:
    """A supervisor that is killed takes us along, and whoever starts it again finds the ports free."""
    parent = os.environ.get("KILN_PARENT")
    if parent:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):
            sys.exit(1)  # it died before we asked


def _log() -> None:
    from service.adapters.logging_json import configure  # noqa: PLC0415

    configure(terminal=sys.stderr.isatty())


if __name__ == "__main__":
    sys.exit(main())
