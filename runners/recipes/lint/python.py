"""Python source as a tree, within limits. MicroPython's own judgement of it comes from mpy-cross."""

import ast
from collections.abc import Iterable, Iterator

from runners.recipes.quiet import quiet

MAX_PYTHON_BYTES = 128 << 10  # of one file; a tree takes some hundred times that in memory


def parse(content: bytes) -> list[ast.AST] | None:
    """Every node of its tree, from the outside in.

    None where CPython cannot parse it, or where it is too large or too deep to be looked at.
    """
    if len(content) > MAX_PYTHON_BYTES:
        return None
    try:
        with quiet():
            return list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def text(node: ast.AST | None) -> str | None:
    """The text of a string in quotes, also within `const()`; None for anything else."""
    match node:
        case ast.Constant(value=str(found)):
            return found
        case ast.Call(func=ast.Name(id="const"), args=[ast.Constant(value=str(found))]):
            return found
        case _:
            return None


def name(node: ast.AST) -> str:
    """How a value is called where it is written: a name, an attribute, or a key in brackets."""
    match node:
        case ast.Name(id=found) | ast.Attribute(attr=found) | ast.arg(arg=found):
            return found
        case ast.Subscript(slice=ast.Constant(value=str(found))):
            return found
        case _:
            return ""


def called(node: ast.Call) -> str:
    """The last part of what is called."""
    return name(node.func)


def pairs(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str, int]]:
    """Every text that has a name: name, text, line. Of assignments, arguments, defaults and dicts."""
    for node in nodes:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _assigned(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                yield from _assigned(target, value)
            case ast.keyword(arg=str(key), value=value):
                yield from _pair(key, value)
            case ast.Dict(keys=keys, values=values):
                for each, value in zip(keys, values, strict=True):
                    yield from _pair(text(each) or "", value)
            case ast.arguments():
                yield from _defaults(node)
            case _:
                pass


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, str, int]]:
    if isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
        for each, part in zip(target.elts, value.elts, strict=False):
            yield from _pair(name(each), part)
    else:
        yield from _pair(name(target), value)


def _defaults(node: ast.arguments) -> Iterator[tuple[str, str, int]]:
    placed = [*node.posonlyargs, *node.args]
    for each, value in zip(placed[len(placed) - len(node.defaults) :], node.defaults, strict=True):
        yield from _pair(each.arg, value)
    for each, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
        if default is not None:
            yield from _pair(each.arg, default)


def _pair(key: str, value: ast.expr) -> Iterator[tuple[str, str, int]]:
    found = text(value)
    if key and found is not None:
        yield key, found, value.lineno
