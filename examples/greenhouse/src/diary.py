# What outlives updates: /data is the application's own, no update and no roll-back touches it.
import json
import os

SAVE_EVERY = 20  # readings, to spare the flash


class Diary:
    """Coldest, warmest and number of readings, in a file that is replaced in one step."""

    def __init__(self, path):
        self._path = path
        try:
            with open(path) as f:
                kept = json.load(f)
        except (OSError, ValueError):
            kept = {}  # the first start
        self.readings = kept.get("readings", 0)
        self.coldest = kept.get("coldest")
        self.warmest = kept.get("warmest")

    def note(self, celsius):
        """Take a reading; every so often it is written."""
        self.coldest = celsius if self.coldest is None else min(self.coldest, celsius)
        self.warmest = celsius if self.warmest is None else max(self.warmest, celsius)
        self.readings += 1
        if self.readings % SAVE_EVERY == 1:
            self._save()

    def _save(self):
        kept = {"readings": self.readings, "coldest": self.coldest, "warmest": self.warmest}
        with open(self._path + ".new", "w") as f:
            json.dump(kept, f)
        os.rename(self._path + ".new", self._path)
