# micropython start.py FLASH [CUT clean|torn]: what a board does at power-on. The flash becomes the
# whole file system, then boot.py and main.py run.
import os
import sys

import block

flash = block.Flash(
    sys.argv[1],
    int(sys.argv[2]) if len(sys.argv) > 2 else 0,
    len(sys.argv) > 3 and sys.argv[3] == "torn",
)
os.umount("/")
block.mount(flash, "/")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
sys.modules.pop("block", None)
del sys.argv[1:]

for name in ("boot.py", "main.py"):
    try:
        os.stat(name)
    except OSError:
        continue
    with open(name) as f:
        text = f.read()
    exec(compile(text, name, "exec"), {"__name__": "__main__"})
