"""What littlefs itself does when the power fails in a rename, and what the loader does about it."""

import json
from pathlib import Path

from device.virtual import flash as flashing
from tests.integration.device import harness

SCRIPT = """
import json, os, sys
sys.path.insert(0, %r)
import ram

PROGRAM = 256
AFTER = ["settings.json", "state.json", "trust.json"]
chip, room = (bytearray(64 * ram.ERASE) for _ in range(2))


def mounted(change):
    flash = ram.Flash(chip, PROGRAM)
    os.mount(ram.littlefs(flash), "/x")
    result = change()
    os.umount("/x")
    return result, flash.log


def lay_out(size):
    # Kept beside their names, so that the folder takes several blocks, where the size decides.
    os.mkdir("/x/kiln")
    for name in ["a.index", "b.index", "device.json", "floor.json", "order.done", "order.trial"] + AFTER:
        with open("/x/kiln/" + name, "w") as f:
            f.write("x" * size)


def move():
    os.rename("/x/kiln/order.trial", "/x/kiln/order.done")


def unseen():
    missing = []
    for name in AFTER:
        try:
            os.stat("/x/kiln/" + name)
        except OSError:
            missing.append(name)
    return missing


def look():
    before = unseen()
    try:
        os.remove("/x/kiln/nothing")
    except OSError:
        pass
    return before, unseen()


found = []
for size in range(200, 512, 24):
    os.VfsLfs2.mkfs(ram.Flash(chip, PROGRAM), progsize=PROGRAM, readsize=PROGRAM)
    mounted(lambda: lay_out(size))
    base = bytes(chip)
    _, log = mounted(move)
    pictures = ram.Pictures(base, log, room)
    for cut in range(len(log)):
        pictures.draw(cut, False, chip)
        found.append(mounted(look)[0])
print(json.dumps(found))
"""


def test_a26_a_rename_cut_in_two_hides_a_file_until_the_loader_removes_what_is_not_there(tmp_path: Path) -> None:
    """Folders that take two blocks or more: a rename from one to the other is two steps of littlefs. In between the
    file beside the renamed one cannot be opened, though it is there, until the file system is about to be changed."""
    script = tmp_path / "moves.py"
    script.write_text(SCRIPT % str(flashing.BOARD))

    found = json.loads(harness.run(str(script), timeout_s=60))

    assert ["settings.json"] in [before for before, _ in found]
    assert [after for _, after in found] == [[]] * len(found)
    loader = (flashing.BOARD.parents[1] / "loader" / "ota_loader.py").read_text()
    assert loader.index("_mend(root)") < loader.index("kept = load(root)")
