"""Values in Python source that belong into settings: what a scanner of lines cannot know."""

import ast
import itertools
from collections.abc import Iterator

from runners.recipes.lint import python, words
from runners.recipes.lint.words import Kind

Found = tuple[int, Kind]  # line, what is written there

# Calls whose addresses are the board's own.
_OWN_ADDRESS = frozenset({"ifconfig", "ipconfig"})
_REACHING = frozenset({"connect", "getaddrinfo", "open_connection"})
_CLIENTS = ("MQTTClient", "MQTTSession", "MqttClient")


def look(nodes: list[ast.AST]) -> Iterator[Found]:
    """Every such value, in no order. A value may come twice."""
    for name, value, line in python.pairs(nodes):
        if kind := words.judge(name, value):
            yield line, kind
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    own = {id(each) for call in calls if python.called(call) in _OWN_ADDRESS for each in ast.walk(call)}
    for call in calls:
        yield from _joining(call)
        yield from _client(call)
        if id(call) not in own:
            yield from _address(call)
    for node in nodes:
        if isinstance(node, ast.Assign):
            yield from _networks(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and words.url(node.value):
            yield node.lineno, Kind.PRIVATE


def _joining(call: ast.Call) -> Iterator[Found]:
    """`wlan.connect("network", "password")`."""
    if python.called(call) != "connect" or len(call.args) < 2:
        return
    network, password = python.text(call.args[0]), python.text(call.args[1])
    if password is not None and words.is_worth_a_look(password):
        yield call.args[1].lineno, Kind.PASSWORD
    elif network is not None and password is not None and words.is_worth_a_look(network):
        yield call.args[0].lineno, Kind.NETWORK


def _client(call: ast.Call) -> Iterator[Found]:
    """`MQTTClient("id", "192.168.1.5")`, `client.connect("broker.example", 1883)`."""
    server: ast.expr | None = None
    if python.called(call).endswith(_CLIENTS):
        named = [each.value for each in call.keywords if each.arg in ("server", "host", "broker")]
        server = named[0] if named else (call.args[1] if len(call.args) > 1 else None)
    elif python.called(call) == "connect" and len(call.args) > 1 and _is_port(call.args[1]):
        server = call.args[0]
    value = python.text(server)
    if server is not None and value is not None and words.is_worth_a_look(value) and words.is_address(value):
        yield server.lineno, Kind.BROKER


def _address(call: ast.Call) -> Iterator[Found]:
    """`connect(("192.168.1.5", 80))`, `getaddrinfo("nas.local", 80)`."""
    given = [part for each in call.args for part in (each.elts if isinstance(each, ast.Tuple) else [each])]
    for each, after in itertools.pairwise(given):
        value = python.text(each)
        if value is None or not _is_port(after):
            continue
        if words.is_private(value):
            yield each.lineno, Kind.PRIVATE
        elif python.called(call) in _REACHING and words.is_worth_a_look(value) and words.is_host(value):
            yield each.lineno, Kind.HOST


def _networks(node: ast.Assign) -> Iterator[Found]:
    """`WIFI = ("home", "…")`, `WIFI_NETWORKS = [("home", "…"), ("shed", "…")]`."""
    if not any(words.is_network(python.name(target)) for target in node.targets):
        return
    for each in ast.walk(node.value):
        if isinstance(each, ast.Tuple | ast.List) and len(each.elts) == 2:
            network, password = (python.text(part) for part in each.elts)
            if network is not None and password is not None and words.is_password(password):
                yield each.elts[1].lineno, Kind.PASSWORD


def _is_port(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and 0 < node.value < 1 << 16
