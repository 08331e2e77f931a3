# micropython files.py FLASH make TREE | put TREE | ls PATH | cat PATH | rm PATH:
# look into a flash file, fill it.
import os
import sys

import block


def put(source, target):
    for name in sorted(os.listdir(source)):
        inner = source + "/" + name
        if os.stat(inner)[0] & 0x4000:
            try:
                os.mkdir(target + "/" + name)
            except OSError:
                pass  # there already
            put(inner, target + "/" + name)
        else:
            with open(inner, "rb") as f:
                content = f.read()
            with open(target + "/" + name, "wb") as f:
                f.write(content)


def ls(folder, prefix=""):
    for name in sorted(os.listdir(folder)):
        stat = os.stat(folder + "/" + name)
        if stat[0] & 0x4000:
            ls(folder + "/" + name, prefix + name + "/")
        else:
            print("%8d %s" % (stat[6], prefix + name))


def cat(path):
    with open(path, "rb") as f:
        while True:
            part = f.read(512)
            if not part:
                return
            sys.stdout.buffer.write(part)


flash = block.Flash(sys.argv[1])
if sys.argv[2] == "make":
    block.make(flash)
block.mount(flash, "/flash")
where = "/flash/" + sys.argv[3].strip("/")
if sys.argv[2] == "ls":
    ls(where.rstrip("/"))
elif sys.argv[2] == "cat":
    cat(where)
elif sys.argv[2] == "rm":
    os.remove(where)
else:
    put(sys.argv[3], "/flash")
