# Starting the application of a slot, and saying what went wrong in it.
import os
import sys


def start(folder):
    """Import the application's `main` from `folder`; returns when that module ends.

    The slot comes first in sys.path, so that nothing left elsewhere shadows a module of it.
    """
    sys.path[:] = [folder, folder + "/lib"] + [p for p in sys.path if p != ""]
    os.chdir(folder)
    # The board's own main.py, which started the agent, may be known under this name.
    sys.modules.pop("main", None)
    __import__("main")


def start_alone(root=""):
    """Start the active slot without an agent: the device's identity cannot be read."""
    from ota import slots, state

    kept, _ = state.load(root + "/kiln")
    if kept["active"] and slots.startable(root, kept["active"]):
        start(slots.path(root, kept["active"]))


def explain(error, folder):
    """`ValueError: why (file.py:12)`: the exception and where it was raised, in the slot."""
    text = _trace(error)
    print(text)
    lines = [line.strip() for line in text.strip().split("\n")]
    where = ""
    for line in lines:
        if line.startswith('File "') and '", line ' in line:
            name, rest = line[6:].split('", line ', 1)
            if name.startswith(folder + "/"):
                name = name[len(folder) + 1 :]
            where = " (%s:%s)" % (name, rest.split(",", 1)[0])
    return lines[-1][: 198 - len(where)] + where


def _trace(error):
    if hasattr(sys, "print_exception"):
        import io

        out = io.StringIO()
        sys.print_exception(error, out)
        return out.getvalue()
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def forget(*names):
    """Give back the memory of the agent's modules `names`; the next import loads them again."""
    package = sys.modules["ota"]
    for name in names:
        if sys.modules.pop("ota." + name, None) is not None and hasattr(package, name):
            delattr(package, name)
