# One board in RAM, from power-on to power-on until it rests, between a broker and a server in
# memory. Everything of the board is real: main.py, loader, agent, application, littlefs. Only time
# and network are played. What starts is looked at from outside, by the bytes in the flash.
import builtins
import hashlib
import json
import os
import sys

import air
import broker
import ram
import server
import timing

_STARTS = 40  # power-ons without coming to rest: something goes round in circles
_LINES = 60
_FOLDER = 0x4000
HOST = ("host", 80)
MQTT = ("host", 1883)


class ResetError(BaseException):
    """The watchdog bites."""


class World:
    """What is around the board: broker, server, time. Set in place of the real modules."""

    def __init__(self):
        self.lines = []
        self.reports = []
        self.asked = []
        self.time = timing.Time()
        self.network = air.Network(self.time)
        self.broker = broker.Broker(self._published)
        self.server = server.Server(self.asked.append, self._published)
        self.network.services[HOST] = self.server.serve
        self.network.services[MQTT] = self.broker.serve
        modules = {"time": self.time, "gc": timing.Collector(), "probe": Probe(self)}
        modules["os"] = timing.Chance()
        modules["socket"] = modules["select"] = self.network
        sys.modules.update(modules)
        self._kept = set(sys.modules)
        self._rom = ".frozen"
        self._print = builtins.print
        builtins.print = self._line

    def freeze(self, folder):
        """Let the agent be part of the firmware: `folder` of the host instead of /lib."""
        os.mount(os.VfsPosix(folder), "/rom")
        self._rom = "/rom"

    def path(self):
        """sys.path at power-on."""
        return ["", self._rom, "/lib"]

    def say(self, *words):
        """Print for real."""
        self._print(*words)

    def _published(self, topic, content):
        self.time.active()
        if topic.endswith("report"):
            self.reports.append(json.loads(content))

    def _line(self, *words, **_):
        # Kept to explain a failure; a board prints too much to show it all.
        if words not in self.lines[-2:]:
            self.lines.append(words)
        if len(self.lines) > _LINES:
            del self.lines[: _LINES // 2]

    def forget(self):
        """Take the board's modules out of memory, as a reset does."""
        for name in list(sys.modules):
            if name not in self._kept:
                del sys.modules[name]


class Probe:
    """The module `probe`, with which the tests' applications show themselves."""

    def __init__(self, world):
        self._world = world
        self.starts = []  # (tree digest of the slot, settings, agent's folder, floors) each
        self.curious = False  # the first start is all that matters

    def started(self, settings):
        agent = sys.modules["ota"].__path__
        self.starts.append((tree_digest(os.getcwd()), dict(settings), agent, floors()))
        if self.curious:
            raise timing.RestError

    def bite(self):
        raise ResetError


class Life:
    """Power-ons of the chip `flash` in `world`."""

    def __init__(self, world, flash):
        self._world = world
        self.flash = flash
        self.starts = sys.modules["probe"].starts = []
        self.floors = []  # at each power-on

    def live(self):
        """Switch on again and again until the board rests. "" or what is wrong."""
        for _ in range(_STARTS):
            ended = self._power_on()
            if ended != "reset":
                return "" if ended == "rest" else ended
        return "restless"

    def _power_on(self):
        world = self._world
        self.flash = self.flash.off()
        world.forget()
        world.time.watch(self.flash.log)
        ram.mount(ram.littlefs(self.flash))
        self.floors.append(floors())
        os.chdir("/")
        sys.path[:] = world.path()
        try:
            with open("main.py") as f:
                exec(compile(f.read(), "main.py", "exec"), {"__name__": "__main__"})
        except timing.RestError:
            return "rest"
        except (SystemExit, ResetError):
            return "reset"
        except Exception as e:
            return "main.py raised " + repr(e)
        return "main.py ended"


def floors():
    """What is never accepted below: [epoch, counter] of releases, [epoch, seq] of orders, and
    [version] of root documents.
    """
    trust = read_json("/kiln/trust.json") or {}
    epochs = trust.get("epochs", {})
    found = [[epochs.get("release", 1), 0], [epochs.get("director", 1), 0]]
    for name in ("state", "floor"):
        kept = read_json("/kiln/" + name + ".json") or {}
        for i, key in enumerate(("counter", "seq")):
            found[i] = max(found[i], [kept.get("epochs", [1, 1])[i], kept.get(key, 0)])
    return found + [[trust.get("version", 0)]]


def tree_digest(folder):
    """SHA-256 of all paths and contents below `folder`, hex; "" where there is none."""
    found = []
    try:
        _walk(folder, "", found)
    except OSError:
        return ""
    digest = hashlib.sha256()
    for path in sorted(found):
        with open(folder + "/" + path, "rb") as f:
            content = f.read()
        digest.update(b"%s %d\n" % (path.encode(), len(content)))
        digest.update(content)
    return _hex(digest)


def _hex(digest):
    return "".join("%02x" % byte for byte in digest.digest())


def _walk(folder, prefix, found):
    for entry in os.ilistdir(folder):
        if entry[1] == _FOLDER:
            _walk(folder + "/" + entry[0], prefix + entry[0] + "/", found)
        else:
            found.append(prefix + entry[0])


def read_json(path):
    """The JSON in a file of the board; None where there is none, or it is damaged."""
    try:
        with open(path) as f:
            return json.loads(f.read())
    except (OSError, ValueError):
        return None


def file_digest(path):
    """SHA-256 of a file of the board, hex."""
    with open(path, "rb") as f:
        return _hex(hashlib.sha256(f.read()))


def surround(world, given, files):
    """Set up broker and server as an act's `world` says; `files` are bytes by name."""
    del world.lines[:], world.reports[:], world.asked[:]
    topic = "kiln/v1/d1/desired"
    world.broker.retained = {topic: files[given["desired"]]} if given["desired"] else {}
    world.server.files = {path: files[name] for path, name in given["paths"].items()}
    world.server.faults = [dict(fault) for fault in given["faults"]]


def lay_out(flash, files, without="-"):
    """Make the littlefs of a new board: what in `files` begins with `board/`, but `without`."""
    os.VfsLfs2.mkfs(flash, progsize=flash.prog, readsize=flash.prog)
    names = [name for name in sorted(files) if name.startswith("board/")]
    edit(flash, [(name[5:], name) for name in names if not name.startswith(without)], files)


def edit(flash, edits, files):
    """Write files of the board behind its back: pairs of a path and the name of the bytes, None to
    remove it, or a number: then it is a folder of files that leave so many blocks free.
    """
    ram.mount(ram.littlefs(flash))
    for path, name in edits:
        if name is None:
            _remove(path)
            continue
        _make_folders(path)
        if type(name) is int:
            _fill(path, name)
            continue
        with open(path, "wb") as f:
            f.write(files[name])
    os.umount("/")
    flash.off()


def _make_folders(path):
    cut = path.find("/", 1)
    while cut > 0:
        try:
            os.mkdir(path[:cut])
        except OSError:
            pass  # there already
        cut = path.find("/", cut + 1)


def _fill(folder, blocks):
    # statvfs counts each folder twice, so the flash is filled to its end and some given back.
    os.mkdir(folder)
    number = 0
    try:
        while True:
            with open("%s/%d" % (folder, number), "wb") as f:
                f.write(bytes(ram.ERASE))
            number += 1
    except OSError:
        pass  # full
    for freed in range(number - blocks, number):
        os.remove("%s/%d" % (folder, freed))


def _remove(path):
    if os.stat(path)[0] & _FOLDER:
        for entry in list(os.ilistdir(path)):
            _remove(path + "/" + entry[0])
    os.remove(path)


class Host:
    """Files of the host, for as long as no board's flash is the whole file system."""

    def __init__(self, folder):
        try:
            os.umount("/")
        except OSError:
            pass
        os.mount(os.VfsPosix(folder), "/")

    def read(self, name):
        with open("/" + name, "rb") as f:
            return f.read()

    def write(self, name, content):
        with open("/" + name, "wb") as f:
            f.write(content)
