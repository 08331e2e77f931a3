"""`kiln keys`: which keys hold, others instead of them, and a root key that lives on another machine."""

import argparse
import pathlib
import time
from typing import Any

from service.cli import places
from service.cli.client import Client, CommandError
from service.domain.errors import KilnError
from service.domain.root import MAX_DOCUMENT_BYTES, Document, Root

PATH = "/api/v1/keys"
LOOK_S = 0.5  # between two looks at what is left


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    keys = commands.add_parser("keys", help="the keys that boards trust (docs/keys.md)").add_subparsers(required=True)
    keys.add_parser("list", help="which keys hold which role").set_defaults(act=lambda it, _: it.call("GET", PATH))
    rotate = keys.add_parser("rotate", help="a new key for a role; the old one is trusted until it is revoked")
    rotate.add_argument("role", choices=("release", "director", "root"))
    rotate.set_defaults(act=_rotate)
    sealing = keys.add_parser("rotate-sealing", help="seal all secrets that are kept with another key, and wait for it")
    sealing.add_argument("--no-wait", action="store_true", help="go on at once; `kiln keys sealing` says how far it is")
    sealing.set_defaults(act=_rotate_sealing)
    keys.add_parser("sealing", help="the key that secrets are sealed with, and what is left of a change").set_defaults(
        act=lambda it, _: it.call("GET", f"{PATH}/sealing")
    )
    revoke = keys.add_parser("revoke", help="trust a key no more, and sign anew what it signed")
    revoke.add_argument("kid", help="its id, as `kiln keys list` has it")
    revoke.add_argument(
        "--stolen", action="store_true", help="somebody else has it: the role starts anew with a new key"
    )
    revoke.set_defaults(act=_revoke)
    for command in (rotate, revoke):
        command.add_argument(
            "--output", type=pathlib.Path, help="where the document goes if the root key is not here; root-N.txt"
        )
    export = keys.add_parser("export-root", help="move the private root key out of a folder keys/ of this machine")
    export.add_argument("folder", type=pathlib.Path, help="like .kiln/keys")
    export.add_argument("file", type=pathlib.Path, help="where it goes: keep it on another machine, and a copy")
    export.set_defaults(act=_export)
    sign = keys.add_parser("sign-root", help="sign a root document with a root key of this machine, without a service")
    sign.add_argument("document", type=pathlib.Path)
    sign.add_argument("--key", type=pathlib.Path, required=True, help="the private root key, PEM")
    sign.set_defaults(act=_sign)
    add = keys.add_parser("add-root", help="give the service a root document that was signed elsewhere")
    add.add_argument("document", type=pathlib.Path)
    add.set_defaults(
        act=lambda it, given: it.call("POST", f"{PATH}/roots", {"document": _read(given.document).decode()})
    )


def _rotate(client: Client, given: argparse.Namespace) -> Any:
    places.check_new(given.output)
    return _kept(client.call("POST", f"{PATH}/rotate", {"role": given.role}), given)


def _rotate_sealing(client: Client, given: argparse.Namespace) -> Any:
    found = client.call("POST", f"{PATH}/rotate-sealing")
    while not given.no_wait and found["left"] > found["lost"]:
        time.sleep(LOOK_S)
        found = client.call("GET", f"{PATH}/sealing")
    return found


def _revoke(client: Client, given: argparse.Namespace) -> Any:
    places.check_new(given.output)
    return _kept(client.call("POST", f"{PATH}/revoke", {"kid": given.kid, "stolen": given.stolen}), given)


def _kept(answer: dict[str, Any], given: argparse.Namespace) -> Any:
    """A document that still wants signatures goes into a file."""
    document = answer.pop("document", None)
    if document is None:
        return answer
    target = given.output or pathlib.Path(f"root-{answer['version']}.txt")
    _write_new(target, document.encode())
    then = f"`kiln keys sign-root {target} --key root.pem` where the root key is, then `kiln keys add-root {target}`"
    if answer.get("role") == "root":  # else the root key would be where it was taken away from, and nobody knew
        then += ". The new root key is in keys/root.pem of the service: `kiln keys export-root` moves it"
    return {**answer, "document": str(target), "then": then}


def _export(_client: Client, given: argparse.Namespace) -> Any:
    """Copied and read again before it is removed: a root key that is lost cannot be replaced."""
    from service.adapters import key_files  # noqa: PLC0415  # cryptography, for this command alone

    source = given.folder / "root.pem"
    try:
        kid = key_files.key_of(key_files.load(source)).kid
        _write_new(given.file, source.read_bytes())
        if key_files.key_of(key_files.load(given.file)).kid != kid:
            raise CommandError(f"{given.file} does not hold what was written: nothing was removed")
        source.unlink()
    except (KilnError, OSError) as error:
        raise CommandError(str(error)) from error
    return {"key": kid, "file": str(given.file)}


def _sign(_client: Client, given: argparse.Namespace) -> Any:
    from service.adapters import key_files  # noqa: PLC0415

    try:
        document = Document.decode(_read(given.document))
        root = Root.parse(document.payload)
        private = key_files.load(given.key)
        key = key_files.key_of(private)
        signed = key_files.sign(document, private)
        key_files.write_whole(given.document, signed.encoded())
    except (KilnError, OSError) as error:
        raise CommandError(str(error)) from error
    # Whoever signs should see what: the other machine may have been broken into.
    keys = {role: [each.kid for each in held] for role, held in root.keys.items()}
    said = {"version": root.version, "threshold": root.threshold, "epochs": dict(root.epochs), "keys": keys}
    return {"signed_by": key.kid, "signatures": len(signed.lines), "document": said}


def _read(path: pathlib.Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_DOCUMENT_BYTES or not content.isascii():
        raise CommandError(f"{path} is no root document")
    return content


def _write_new(path: pathlib.Path, content: bytes) -> None:
    """Raises: CommandError where there is such a file already: it may be the only copy of a key."""
    with places.writing(path):
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(content)
