# A number in /data, which no update and no roll-back touches.
import os


class Counter:
    """Counts on over restarts and updates."""

    def __init__(self, path):
        self._path = path
        try:
            with open(path) as f:
                self.value = int(f.read())
        except (OSError, ValueError):
            self.value = 0  # the first start

    def add(self):
        """One more; the new value, which is on flash."""
        self.value += 1
        with open(self._path + ".new", "w") as f:
            f.write(str(self.value))
        os.rename(self._path + ".new", self._path)
        return self.value
