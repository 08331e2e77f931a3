# How others update, as models of our own: the order of their file operations and nothing more.
# `files` are the paths of the new release, `fetch(path)` yields its content in two halves and
# raises OSError where the line breaks. The application is in /app.
import os


def in_place(files, fetch):
    """Open each file for writing, fetch, write: the shortest updater there is."""
    for path in files:
        with _create("/app/" + path) as f:
            for part in fetch(path):
                f.write(part)


def delete_then_write(files, fetch):
    """Remove each file, fetch it, write it: no file is left that the new release lacks."""
    for path in files:
        _remove("/app/" + path)
        content = b"".join(fetch(path))
        with _create("/app/" + path) as f:
            f.write(content)


def temp_then_copy(files, fetch):
    """Fetch everything into a folder of its own, then copy file by file."""
    for path in files:
        with _create("/tmp/" + path) as f:
            for part in fetch(path):
                f.write(part)
    for path in files:
        with open("/tmp/" + path, "rb") as source, _create("/app/" + path) as f:
            while True:
                part = source.read(512)
                if not part:
                    break
                f.write(part)


def rename_each(files, fetch):
    """Write each file beside the old one, then rename it over that."""
    for path in files:
        with _create("/app/" + path + ".new") as f:
            for part in fetch(path):
                f.write(part)
        os.rename("/app/" + path + ".new", "/app/" + path)


def rename_folders(files, fetch):
    """Fetch everything into a folder, remove the old folder, rename the new one."""
    for path in files:
        with _create("/next/" + path) as f:
            for part in fetch(path):
                f.write(part)
    remove_tree("/app")
    os.rename("/next", "/app")


def remove_tree(folder):
    """Remove a folder and everything in it."""
    for entry in list(os.ilistdir(folder)):
        if entry[1] == 0x4000:
            remove_tree(folder + "/" + entry[0])
        else:
            os.remove(folder + "/" + entry[0])
    os.rmdir(folder)


def _create(path):
    cut = path.find("/", 1)
    while cut > 0:
        try:
            os.mkdir(path[:cut])
        except OSError:
            pass  # there already
        cut = path.find("/", cut + 1)
    return open(path, "wb")


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


MODELS = (
    ("in place", in_place),
    ("delete, then write", delete_then_write),
    ("temporary folder, then copy", temp_then_copy),
    ("each file by rename", rename_each),
    ("folders by rename", rename_folders),
)
