# micropython repl.py FLASH: a board whose program was stopped, at the raw REPL mpremote speaks
# to (docs.micropython.org, "The MicroPython Interactive Interpreter Mode"). The flash is the whole
# file system. Ends when the board is reset.
import io
import os
import sys

import block

_RAW, _FRIENDLY, _END = b"\x01", b"\x02", b"\x04"
_HELLO = "raw REPL; CTRL-B to exit\r\n>"


class Machine:
    # What the unix port's module lacks, and mpremote asks for.
    def reset(self):
        sys.exit(3)


def say(text):
    sys.stdout.buffer.write(text.encode())


def execute(text, names):
    say("OK")
    failure = io.StringIO()
    try:
        exec(compile(text, "<stdin>", "exec"), names)
    except SystemExit:
        raise
    except BaseException as e:
        sys.print_exception(e, failure)
    say("\x04" + failure.getvalue() + "\x04>")


def main():
    names = {"__name__": "__main__"}
    raw, line = False, b""
    while True:
        byte = sys.stdin.buffer.read(1)
        if not byte:
            return
        if byte == _RAW:
            # Also the answer to the question for paste mode, which is not spoken here.
            raw, line = True, b""
            say("\r\n" + _HELLO)
        elif byte == _FRIENDLY:
            raw = False
        elif byte == _END and raw and not line:
            names = {"__name__": "__main__"}
            say("OK\r\nMPY: soft reboot\r\n" + _HELLO)
        elif byte == _END and raw:
            text, line = line.decode(), b""
            execute(text, names)
        elif raw and byte != b"\x03":
            line += byte


flash = block.Flash(sys.argv[1])
os.umount("/")
block.mount(flash, "/")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
sys.modules["machine"] = Machine()
main()
