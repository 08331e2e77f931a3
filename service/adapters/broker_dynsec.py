"""Accounts of a Mosquitto broker (2.0 or later) in its dynamic security plugin, changed over MQTT while it runs.

Nothing is shared with the broker but a connection. Each device has a client, bound to its name as client id, and a role
of its own: the plugin of 2.0 knows no `%u` in topics. The description of a client is the SHA-256 of its token, so that
the same token is never set twice: the plugin closes a client's connection at every change.
"""

import hashlib
import pathlib
import threading
from collections.abc import Iterable, Sequence

from service.adapters.broker_control import Answer, Command, Control
from service.adapters.broker_mosquitto import Tls, listeners, promises
from service.adapters.broker_rights import (
    FOR_A_DEVICE,
    FOR_HOME,
    HOME,
    OF_A_DEVICE,
    OF_HOME,
    OF_THE_SERVICE,
    ROOT,
    SERVICE,
    Home,
    check_device,
)
from service.domain.errors import BrokerError

PLUGIN = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so"  # where Debian has it
PAGE = 250  # clients in one answer
ROLE_OF_THE_SERVICE = SERVICE
_ROLE_OF = "kiln-device-"  # and the device's name
_TRIES = 3


def configuration(folder: pathlib.Path, *, host: str, port: int, tls: Tls | None = None, plugin: str = PLUGIN) -> str:
    """A mosquitto.conf with the plugin; its file is made by `mosquitto_ctrl dynsec init FILE kiln-service`."""
    return (
        listeners(host=host, port=port, tls=tls)
        + f"plugin {plugin}\nplugin_opt_config_file {folder / 'dynamic-security.json'}\n"
        + promises(folder)
    )


class DynsecAccounts:
    """`service.ports.BrokerAccounts`. `control` is a connection with the rights of `mosquitto_ctrl dynsec init`."""

    def __init__(self, control: Control, *, home: Home | None = None) -> None:
        self._control = control
        self._home = home
        self._changing = threading.Lock()  # look and change, without another thread in between
        self._digests: dict[str, str] | None = None  # of the token of each device; None: not asked yet

    def prepare(self) -> bool:
        """See that the service itself has its rights, and who has an account. Whenever we come to the broker.

        False when it was given them just now: the broker closes its connections for that. Raises: BrokerError.
        """
        self._set_home()
        for tried in range(_TRIES):
            missing = self._missing()
            if not missing:
                self.names()
                return tried == 0
            try:
                self._do(missing)
            except BrokerError:  # the plugin closes whoever's rights it changes, and those are ours
                continue
        raise BrokerError(f"the MQTT broker gives {SERVICE} no rights")

    def allow(self, device: str, token: str) -> None:
        role = _ROLE_OF + check_device(device)
        client = {"username": device, "password": token, "clientid": device, "textdescription": _digest(token)}
        with self._changing:
            self._let_in(client, role, _of_a_device(device))
            if self._digests is not None:
                self._digests[device] = _digest(token)

    def allow_also(self, device: str, token: str) -> bool:
        check_device(device)
        return False  # the plugin knows one password of a client

    def forbid(self, device: str) -> None:
        role = _ROLE_OF + check_device(device)
        with self._changing:
            gone = [{"command": "deleteClient", "username": device}, {"command": "deleteRole", "rolename": role}]
            self._do(gone, fine=("Client not found", "Role not found"))
            if self._digests is not None:
                self._digests.pop(device, None)

    def names(self) -> set[str]:
        with self._changing:
            found = {each["username"]: _taken(each) for each in self._clients() if _is_a_device(each)}
            self._digests = found
            return set(found)

    def knows(self, device: str, token: str) -> bool:
        return self._digests is None or self._digests.get(device) == _digest(token)

    def close(self) -> None:
        self._control.close()

    # -- inside

    def _let_in(self, client: Command, role: str, rights: list[Command]) -> None:
        """As it is known already: nothing is done, and nobody's connection closes."""
        known = self._client(client["username"])
        if known is None:
            self._give_rights(role, rights)
            self._do([{"command": "createClient", **client, "roles": [{"rolename": role}]}])
        elif known.get("textdescription") != client["textdescription"]:
            self._do([{"command": "modifyClient", **client}])
        if known is not None and known.get("disabled"):
            self._do([{"command": "enableClient", "username": client["username"]}])

    def _set_home(self) -> None:
        """Home Assistant comes with any client id."""
        with self._changing:
            if self._home is None:
                self._do([{"command": "deleteClient", "username": HOME}], fine=("Client not found",))
                return
            [role] = self._control.ask([{"command": "getRole", "rolename": HOME}])
            if "error" not in role and _plain(_data(role, "role").get("acls", [])) != _plain(_of_home(self._home)):
                self._give_rights(HOME, _of_home(self._home))
            password = self._home.password
            client = {"username": HOME, "password": password, "textdescription": _digest(password)}
            self._let_in(client, HOME, _of_home(self._home))

    def _missing(self) -> list[Command]:
        """What the service's user still needs, in this order."""
        role, client = self._control.ask(
            [{"command": "getRole", "rolename": ROLE_OF_THE_SERVICE}, {"command": "getClient", "username": SERVICE}]
        )
        _check([client])
        wanted = _of_the_service(self._home)
        found: list[Command] = []
        if _plain(_data(role, "role").get("acls", [])) != _plain(wanted):
            verb = "createRole" if "error" in role else "modifyRole"
            found.append({"command": verb, "rolename": ROLE_OF_THE_SERVICE, "acls": wanted})
        if ROLE_OF_THE_SERVICE not in [each["rolename"] for each in _data(client, "client").get("roles", [])]:
            found.append({"command": "addClientRole", "username": SERVICE, "rolename": ROLE_OF_THE_SERVICE})
        return found

    def _give_rights(self, role: str, acls: list[Command]) -> None:
        [answer] = self._control.ask([{"command": "createRole", "rolename": role, "acls": acls}])
        if "error" in answer:  # it is there, of an older time
            self._do([{"command": "modifyRole", "rolename": role, "acls": acls}])

    def _client(self, name: str) -> Answer | None:
        [answer] = self._control.ask([{"command": "getClient", "username": name}])
        if answer.get("error") == "Client not found":
            return None
        _check([answer])
        return _data(answer, "client")

    def _clients(self) -> list[Answer]:
        """All of them, with their roles."""
        found: list[Answer] = []
        while True:
            wanted = {"command": "listClients", "verbose": True, "count": PAGE, "offset": len(found)}
            [answer] = self._control.ask([wanted])
            _check([answer])
            page = answer["data"]["clients"]
            found += page
            if len(page) < PAGE:
                return found

    def _do(self, commands: Sequence[Command], *, fine: Iterable[str] = ()) -> None:
        _check(self._control.ask(commands), fine=fine)


def _of_a_device(device: str) -> list[Command]:
    return [
        *(_allowed("publishClientSend", f"{ROOT}/{device}/{kind}") for kind in OF_A_DEVICE),
        *(_allowed("subscribeLiteral", f"{ROOT}/{device}/{kind}") for kind in FOR_A_DEVICE),
    ]


def _of_the_service(home: Home | None) -> list[Command]:
    found = [
        *(_allowed("publishClientSend", f"{ROOT}/+/{kind}") for kind in OF_THE_SERVICE),
        _allowed("subscribePattern", f"{ROOT}/#"),
    ]
    if home is not None:
        found += [_allowed("publishClientSend", home.discovery), _allowed("subscribePattern", home.status)]
    return found


def _of_home(home: Home) -> list[Command]:
    return [
        *(_allowed("publishClientSend", f"{ROOT}/+/{kind}") for kind in OF_HOME),
        _allowed("publishClientSend", home.status),
        *(_allowed("subscribePattern", f"{ROOT}/+/{kind}") for kind in FOR_HOME),
        _allowed("subscribePattern", f"{home.prefix}/#"),
    ]


def _allowed(kind: str, topic: str) -> Command:
    """`subscribeLiteral` is for exactly this filter, `subscribePattern` for all that it covers."""
    return {"acltype": kind, "topic": topic, "allow": True}


def _is_a_device(client: Answer) -> bool:
    return _ROLE_OF + str(client["username"]) in [each["rolename"] for each in client.get("roles", [])]


def _taken(client: Answer) -> str:
    """The digest of the token that the broker takes of this client; empty for none, or one that we did not set."""
    return "" if client.get("disabled") else str(client.get("textdescription", ""))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _plain(acls: Iterable[Command]) -> list[tuple[str, str, bool]]:
    return sorted((each["acltype"], each["topic"], bool(each["allow"])) for each in acls)


def _data(answer: Answer, what: str) -> Answer:
    found = answer.get("data", {}).get(what, {})
    return found if isinstance(found, dict) else {}


def _check(answers: Iterable[Answer], *, fine: Iterable[str] = ()) -> None:
    for each in answers:
        if "error" in each and each["error"] not in fine:
            raise BrokerError(f"the MQTT broker did not do {each.get('command')}: {each['error']}")
