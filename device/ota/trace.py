# Saying what went wrong in the application, and where. Imported when it did.
import sys


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
