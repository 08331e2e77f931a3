"""What puts a device's files onto a board: a script of mpremote's commands (docs/first-install.md)."""

import json
import pathlib
import shlex
from typing import Any

from service.cli.client import CommandError
from service.cli.secret_files import secret_file
from service.domain.first_install import MAIN, VERIFIED

SCRIPT = """\
#!/bin/sh
# Makes the board on this computer's USB port {what}. It runs MicroPython already.
#     ./install.sh             the agent, then this device's files
#     ./install.sh identity    only its files: it was flashed with a flash image of Kiln
# settings.json beside this script is what the application gets as ota.settings, the Wi-Fi's name and password
# in it: {{"WIFI_SSID": "...", "WIFI_PASSWORD": "..."}}. ca.pem is the certificate that vouches for Kiln and its broker.
set -eu
cd "$(dirname "$0")"
[ "${{1:-}}" = identity ] || mpremote mip install --target /lib {package}
mpremote fs mkdir :/kiln 2>/dev/null || true  # it may be there
mpremote fs cp trust.json :/kiln/trust.json
[ ! -e settings.json ] || mpremote fs cp settings.json :/kiln/settings.json
[ ! -e ca.pem ] || mpremote fs cp ca.pem :/kiln/ca.pem
mpremote fs cp {identity}.json :/kiln/{identity}.json
mpremote fs cp main.py :/main.py  # last: from now on the agent starts
mpremote reset
"""


def write_secret(path: pathlib.Path, value: Any) -> str:
    """As JSON, for its owner alone; the path. Raises: CommandError."""
    try:
        with secret_file(path) as file:
            file.write(json.dumps(value, indent=2).encode() + b"\n")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from error
    return str(path)


WHAT = {"device": "the device of this folder", "claim": "a device that enrols itself with the code of this folder"}


def write(folder: pathlib.Path, base: str, *, identity: str = "device") -> list[pathlib.Path]:
    """`main.py` and `install.sh`, for a device of the Kiln at `base`. Neither holds a secret.

    `identity` is the file that makes it one: `device` or `claim`.
    """
    main, script = folder / "main.py", folder / "install.sh"
    main.write_bytes(MAIN)
    package = shlex.quote(f"{base}/mip/kiln-agent/package.json")
    script.write_text(SCRIPT.format(package=package, identity=identity, what=WHAT[identity]))
    script.chmod(0o755)
    return [main, script]


def verifying(
    identity: dict[str, Any], authority: str, folder: pathlib.Path
) -> tuple[dict[str, Any], list[pathlib.Path]]:
    """The identity as it is with `ca.pem`, which is written when there is an authority (PEM); and what was written."""
    if not authority:
        return identity, []
    path = folder / "ca.pem"
    path.write_text(authority)
    return {**identity, "tls": VERIFIED}, [path]
