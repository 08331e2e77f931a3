# The one error of the agent's own making. Its reason is a code of docs/ota.md, written where it is
# raised: a table of names for them would cost 3 KB of a heap of 36.


UNKNOWN = "unknown key or algorithm"  # detail of a refusal that a newer root document may mend


class RefusedError(Exception):
    """A message, a bundle or a transfer that this device does not accept, and why."""

    def __init__(self, reason, detail=""):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
