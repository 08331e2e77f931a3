# Where lives are played: a plan made by tests/integration/device/plan.py, one chip, one world.
import json

import life
import ram


class Stage:
    """`folder` holds plan.json and the files that it names; `program` are bytes an operation."""

    def __init__(self, folder, program):
        self.folder = folder
        self.program = program
        self.plan = json.loads(self.read("plan.json"))
        self.files = {name: self.read(name) for name in self.plan["files"]}
        size = self.plan["blocks"] * ram.ERASE
        # Allocated once: a heap full of holes has no place for another chip.
        self.chip, self.room, self.second_room = (bytearray(size) for _ in range(3))
        self.world = life.World()
        self.say = self.world.say
        self.wrong = 0  # outcomes that must not be
        # The boards of some program sizes have the agent in their firmware.
        self._frozen = program in self.plan["frozen"]
        if self._frozen:
            self.world.freeze(folder + "/board/lib")

    def read(self, name):
        """The bytes of a file of the folder, before a board's flash is the whole file system."""
        with open(self.folder + "/" + name, "rb") as f:
            return f.read()

    def image(self, name):
        """The content of the chip that was kept as `name`."""
        return life.Host(self.folder).read(self._image(name))

    def keep(self, name):
        """Keep the content of the chip as it is."""
        life.Host(self.folder).write(self._image(name), self.chip)

    def lay_out(self):
        """Make the chip that of a new board."""
        without = "board/lib" if self._frozen else "-"
        life.lay_out(self.flash(), self.files, without)

    def edit(self, edits):
        """Change files of the board behind its back."""
        life.edit(ram.Flash(self.chip, self.program, ram.Forgetful()), edits, self.files)

    def flash(self):
        """The chip, with a new log."""
        return ram.Flash(self.chip, self.program)

    def live(self, around):
        """Live in the surroundings `around` until the board rests: (life, what is wrong)."""
        lived = life.Life(self.world, self.flash())
        life.surround(self.world, around, self.files)
        return lived, lived.live()

    def explain(self, text):
        """Print what is wrong, and the last lines of the board."""
        self.wrong += 1
        self.say("WRONG", text)
        for words in self.world.lines[-16:]:
            self.say("   ", *words)

    def _image(self, name):
        return "%s.%d.img" % (name, self.program)
