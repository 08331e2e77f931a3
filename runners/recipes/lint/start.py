"""A ``main.py`` that starts nothing: the agent imports it (device/README.md, "For applications")."""

import ast
from collections.abc import Iterable, Iterator

SENTENCE = 'the agent imports main.py, so __name__ is "main" and this never runs: do it without the condition'


def look(nodes: Iterable[ast.AST]) -> Iterator[int]:
    """The lines of ``if __name__ == "__main__":``."""
    for node in nodes:
        match node:
            case ast.If(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
                found = {_word(left), _word(right)}
                if found == {"__name__", "__main__"}:
                    yield node.lineno
            case _:
                pass


def _word(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=str(text)):
            return text
        case _:
            return ""
