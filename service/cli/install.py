"""What puts a device's files onto a board: a script of mpremote's commands (docs/first-install.md)."""

import json
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

from service.cli.places import writing
from service.cli.secret_files import secret_file
from service.domain.first_install import MAIN, VERIFIED
from service.domain.readme import VIRTUAL, only_here

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


WHAT = {"device": "the device of this folder", "claim": "a device that enrols itself with the code of this folder"}


def lost(board: str, where: Mapping[str, Any], then: str) -> dict[str, str]:
    """A warning when `where` (a device.json or claim.json) sends a real board to look for Kiln in itself."""
    found = only_here(where)
    if not found or board == VIRTUAL:
        return {}
    said = f"the board would look for Kiln in itself ({', '.join(found)}): set KILN_BASE_URL and KILN_MQTT_HOST to "
    return {"warning": f"{said}what it can reach, {then}"}


def write(folder: pathlib.Path, contents: Mapping[str, Any], *, identity: str, authority: str) -> list[str]:
    """All that puts a board into a fleet; the paths. Raises: CommandError.

    `contents` become `<name>.json`, for their owner alone; `identity` names the one of them that makes the board what
    it is, `device` or `claim`, which gets a `tls` when there is an authority (PEM), written beside it as `ca.pem`.
    `main.py` and `install.sh` hold no secret.
    """
    files = dict(contents)
    if authority:
        files[identity] = {**contents[identity], "tls": VERIFIED}
    written = [write_secret(folder / f"{name}.json", content) for name, content in files.items()]
    if authority:
        path = folder / "ca.pem"
        with writing(path):
            path.write_text(authority)
        written.append(str(path))
    return [*written, *map(str, _script(folder, contents[identity]["base"], identity))]


def write_secret(path: pathlib.Path, value: Any) -> str:
    """As JSON, for its owner alone; the path. Raises: CommandError."""
    with writing(path), secret_file(path) as file:
        file.write(json.dumps(value, indent=2).encode() + b"\n")
    return str(path)


def _script(folder: pathlib.Path, base: str, identity: str) -> list[pathlib.Path]:
    main, script = folder / "main.py", folder / "install.sh"
    package = shlex.quote(f"{base}/mip/kiln-agent/package.json")
    with writing(main):
        main.write_bytes(MAIN)
    with writing(script):
        script.write_text(SCRIPT.format(package=package, identity=identity, what=WHAT[identity]))
        script.chmod(0o755)
    return [main, script]
