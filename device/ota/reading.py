# What /kiln holds, read at each start, with an application or without. Imported for that, and
# forgotten.
import os

from ota import app, state


def load(board, root, loaded):
    """Read what /kiln below `root` holds. Raises OSError, ValueError without an identity."""
    # As in ota_loader.py, of which older boards keep an older one.
    try:
        os.remove(root + "/kiln/nothing")
    except OSError:
        pass
    board.root = root
    board.loaded = loaded
    board.state, board.intact = state.load(root + "/kiln")
    # One after another, each forgotten before the next: what lives now drives what stays apart.
    _read_config(board)
    app.forget("config")
    _read_trust(board)
    app.forget("trust", "copies", "moves")
    from ota import clock

    board.clock = clock.Clock(board.state["unheard"])


def _read_config(board):
    from ota import config

    board.device = config.device(board.root, board.state)
    board.settings = config.settings(board.root, board.state)
    # A new way to the service is yet to be proven.
    board.moved = state.reconfigured(board.state) and config.moved(board.root, board.state)


def _read_trust(board):
    from ota import trust

    if trust.size(board.root) != trust.size(board.root, trust.COPY):
        from ota import copies

        copies.mend(board.root)
    trust.adopt(board)
