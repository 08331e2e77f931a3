"""Names of branches, as people type them: git-check-ref-format(1)."""

from service.domain.errors import BadInputError

MAX_BRANCH_CHARS = 200
_FORBIDDEN = " ~^:?*[\\"
_NOWHERE = ("..", "@{", "//")


def branch(name: str) -> str:
    """Raises: BadInputError that says what is wrong with it."""
    if fault := fault_of(name):
        raise BadInputError(f"no branch can be called {name[:80]!r}: it {fault}")
    return name


def fault_of(name: str) -> str:
    """The first thing that git, or who passes names on to it, would not take, as the end of a sentence; or nothing."""
    if not 0 < len(name) <= MAX_BRANCH_CHARS:
        return f"has not 1 to {MAX_BRANCH_CHARS} characters"
    held = next((each for each in name if each in _FORBIDDEN or not each.isprintable()), None)
    held = held or next((each for each in _NOWHERE if each in name), None)
    if held is not None:
        return f"holds {'a space' if held == ' ' else repr(held)}"
    if name[0] == "/" or name[-1] in "/.":
        return f"begins or ends with {(name[0] if name[0] == '/' else name[-1])!r}"
    for part in name.split("/"):
        if part[0] in ".-":
            return f"has a part that begins with {part[0]!r}"
        if part.endswith(".lock"):
            return "has a part that ends with '.lock'"
    return ""
