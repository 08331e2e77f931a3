"""Settings that the code uses and nobody declared, and the other way round."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from runners.contract import pepeunit
from runners.contract.manifest import MANIFEST

MAX_SOURCE_BYTES = 4 << 20  # of a repository, to be searched for names; in a larger one nothing is unused

# What the agent itself reads (docs/settings.md, "A device"); no code of the application needs to name it.
OF_THE_AGENT = frozenset({"WIFI_SSID", "WIFI_PASSWORD"})


@dataclass(slots=True)
class Use:
    """What the code of one repository reads of its settings."""

    names: dict[str, tuple[str, int]] = field(default_factory=dict)  # name -> where it is used first
    is_open: bool = False  # some are read under names that cannot be known from the code

    def add(self, name: str, path: str, line: int) -> None:
        self.names.setdefault(name, (path, line))


def used(use: Use, path: str, nodes: list[ast.AST], layout: str) -> None:
    """Add what one file uses to `use`."""
    if layout == pepeunit.LAYOUT:
        _of_unit(use, path, nodes)
        return
    known = _Names.of(nodes)
    for node in nodes:
        if isinstance(node, ast.expr) and known.is_settings(node):
            use.is_open = use.is_open or id(node) not in known.plain
    for name, line in known.read:
        use.add(name, path, line)


def _of_unit(use: Use, path: str, nodes: list[ast.AST]) -> None:
    """`client.settings.NAME`, `self.client.settings.NAME`."""
    for node in nodes:
        match node:
            case (
                ast.Attribute(value=ast.Attribute(attr="settings"), attr=name)
                | ast.Attribute(value=ast.Name(id="settings"), attr=name)
            ) if name.isupper():
                use.add(name, path, node.lineno)
            case ast.Call(func=ast.Name(id="getattr")):
                use.is_open = True
            case _:
                pass


@dataclass(slots=True)
class _Names:
    """How one file calls `ota.settings`, and what it reads of it."""

    modules: set[str] = field(default_factory=set)
    direct: set[str] = field(default_factory=set)
    read: list[tuple[str, int]] = field(default_factory=list)
    plain: set[int] = field(default_factory=set)  # the nodes that are settings, and whose use is known

    @classmethod
    def of(cls, nodes: list[ast.AST]) -> "_Names":
        made = cls()
        for node in nodes:
            made._imported(node)
        for node in nodes:
            match node:
                case ast.Assign(targets=[ast.Name(id=name) as target], value=value) if made.is_settings(value):
                    made.direct.add(name)
                    made.plain |= {id(value), id(target)}
                case _:
                    pass
        for node in nodes:
            made._looked_up(node)
        return made

    def is_settings(self, node: ast.AST) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr="settings"):
                return module in self.modules
            case ast.Name(id=name):
                return name in self.direct
            case _:
                return False

    def _imported(self, node: ast.AST) -> None:
        match node:
            case ast.Import(names=names):
                self.modules |= {each.asname or each.name for each in names if each.name == "ota"}
            case ast.ImportFrom(module="ota", names=names, level=0):
                self.direct |= {each.asname or each.name for each in names if each.name == "settings"}
            case _:
                pass

    def _looked_up(self, node: ast.AST) -> None:
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
                pass
            case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[ast.Constant(value=str(name)), *_]):
                pass
            case ast.Compare(left=ast.Constant(value=str(name)), ops=[_], comparators=[value]):
                pass
            case _:
                return
        if self.is_settings(value):
            self.plain.add(id(value))
            self.read.append((name, node.lineno))


def compare(
    use: Use, declared: Iterable[str], files: Mapping[str, bytes | None], layout: str
) -> Iterator[tuple[str, int, str]]:
    """Path, line and sentence of each setting that does not fit. `files` are those of the whole repository."""
    is_unit = layout == pepeunit.LAYOUT
    names = frozenset(declared)
    home = pepeunit.ENV if is_unit else MANIFEST
    for name, (path, line) in use.names.items():
        if name not in names and not (name in OF_THE_AGENT or (is_unit and pepeunit.is_reserved(name))):
            what = f'add "{name[:64]}" to {home}' if is_unit else f"add [settings.{name[:64]}] to {home}"
            yield path, line, f"the setting {name[:64]} is used here and not declared: {what}"
    sources = [content for path, content in files.items() if content and path.endswith(".py")]
    if use.is_open or sum(map(len, sources)) > MAX_SOURCE_BYTES:
        return
    for name in sorted(names - use.names.keys() - OF_THE_AGENT):
        is_named = any(name.encode() in content for content in sources)
        if not is_named and not (is_unit and pepeunit.is_reserved(name)):
            yield home, _line(name, files.get(home), is_unit), f"the setting {name} is declared and used nowhere"


def _line(name: str, content: bytes | None, is_unit: bool) -> int:
    """Where it is declared; 1 when that is not to be seen."""
    wanted = f'"{name}"' if is_unit else f"settings.{name}]"
    for number, line in enumerate((content or b"").decode("utf-8", "replace").splitlines(), 1):
        if wanted in line.replace(" ", "") or (not is_unit and f'settings."{name}"]' in line):
            return number
    return 1
