# Starting the application of a slot, and giving back what a module of the agent takes.
import gc
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


def stop():
    """Give back what the application holds, as far as that can be done from outside."""
    for name in ("main", "asyncio", "asyncio.core"):
        _drop(name)
    gc.collect()


def _drop(name):
    # The slot of a removed key keeps the value in MicroPython, and with it the module and all that
    # it holds, until another key comes there. So first another value, also after an import failed.
    sys.modules[name] = None
    del sys.modules[name]


def firmware():
    """The module that updates MicroPython itself."""
    from ota import native

    return native


def keys(root, role):
    """trust.keys(), and what it took given back."""
    from ota import trust

    forget("trust")
    return trust.keys(root, role)


def signed(root, role, jws, limit):
    """The payload of `jws`, of at most `limit` bytes, signed by a key of that role.

    Raises RefusedError. In steps, each alone on the heap: 3,072 bits squared want 768 bytes in one
    piece.
    """
    found = keys(root, role)
    from ota import verify

    forget("verify")
    gc.collect()
    return verify.payload(jws, found, limit, True)


def forget(*names):
    """Give back the memory of the agent's modules `names`; the next import loads them again."""
    package = sys.modules["ota"]
    for name in names:
        _drop("ota." + name)
        if hasattr(package, name):
            setattr(package, name, None)  # as in _drop
            delattr(package, name)
    # Now, and not when there is no room: then the stack is deep, and what was left on it by calls
    # that are over looks like pointers to all this. (CPython knows its stack.)
    if hasattr(gc, "mem_free"):
        gc.collect()
