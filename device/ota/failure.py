# The agent itself failed: why, and whether a file of it is not as it was installed. Imported then.
from ota import bundle, logbook, look, slots


def explain(error, loaded, root=""):
    """Print what was raised, and do as check() does."""
    logbook.explain(error, "")
    check(loaded, root)


def check(loaded, root=""):
    """Raise ImportError where a file of this agent is damaged: the loader knows another.

    `loaded` is what it knows of this one.
    """
    if loaded and loaded["active"]:
        found = _damaged(root, "kiln/agent/" + loaded["active"])
        if found:
            raise ImportError(found)


def _damaged(root, slot):
    # What is not as it was, by the index beside the slot. That is not signed: who could change it
    # could change the agent, too.
    name = "its index"
    try:
        with open(slots.index_path(root, slot), "rb") as f:
            size = f.seek(0, 2)
            f.seek(0)
            view = memoryview(bytearray(256))
            for raw in bundle.lines(f, size, memoryview(bytearray(128))):
                digest, length, name = raw.decode().split(" ")
                path = slots.path(root, slot) + "/" + name
                look.check_file(path, int(length), digest, view, _idle)
    except MemoryError:
        return ""  # perhaps that is all there is to it
    except Exception as e:
        return "damaged: %s, %s" % (name, getattr(e, "detail", repr(e)))
    return ""


def _idle():
    pass
