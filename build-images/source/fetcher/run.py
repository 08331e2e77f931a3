"""One fetch from orders to result.

Reads `in/orders` (lines of `key=value`; it holds the credential, and is removed at once) and `in/authorities.pem`,
writes `out/result` (the same kind of lines) and, when all is well, `out/snapshot`: a tar, deflated (RFC 1950),
its newlines replaced (`fetcher.pack.without_newlines`). With `kind=files` among the orders it is `fetcher.files` that
works, and writes `out/contents`.
"""

import errno
import pathlib
import shutil
import time
from typing import NamedTuple

from fetcher import access, address, files, tree
from fetcher.address import Url
from fetcher.git import AUTHORITIES, FALLBACK_DEPTH, Git, Own
from fetcher.names import resolve
from fetcher.pack import Packer
from fetcher.words import MovedError, NotServedError, RefusedError, TroubleError

IN, OUT, TMP = pathlib.Path("/work/in"), pathlib.Path("/work/out"), pathlib.Path("/work/tmp")
MAX_GITMODULES_BYTES = 256 << 10
MAX_LISTING_BYTES = 32 << 20
MAX_TITLE_BYTES = 1000


class Part(NamedTuple):
    """The repository, or a submodule of it."""

    url: Url
    commit: str
    ref: str
    prefix: str  # where its files go
    level: int

    @property
    def name(self) -> str:
        return f"the submodule {self.prefix.rstrip('/')[:100]!a}" if self.prefix else "the repository"


class Fetcher:
    def __init__(self, git: Git, own: Url, limits: tree.Limits, packer: Packer) -> None:
        self._git = git
        self._own = own
        self._packer = packer
        self._bares = 0
        self.budget = tree.Budget(limits)
        self.title = ""  # of the repository's own commit

    def take(self, part: Part) -> None:
        """Pack the files of `part`, then its submodules'. Raises: RefusedError, TroubleError."""
        bare = self._fetched(part)
        self.title = self.title if part.level else self._title(part, bare)
        found = self._entries(part, bare)
        self.budget.take(found, part.prefix)
        self._refuse_pointers(part, bare, found)
        inner = [self._inner(part, each) for each in self._submodules(part, bare, found)]
        prefix = (f"--prefix={part.prefix}",) if part.prefix else ()
        words = ("archive", "--format=tar", *prefix, part.commit)
        with self._git.piped(*words, where=str(part.url), at=bare) as archive:
            self._packer.add(archive)
        shutil.rmtree(bare)
        for each in inner:
            self.take(each)

    def _fetched(self, part: Part) -> pathlib.Path:
        self._bares += 1
        bare = TMP / f"bare-{self._bares}"
        try:
            self._fetch(part, bare, part.url)
        except MovedError as error:
            if part.url.path.endswith(".git"):
                raise RefusedError(str(error)) from error
            # GitLab sends `x` to `x.git`, and many a .gitmodules leaves the ending out.
            try:
                self._fetch(part, bare, part.url._replace(path=f"{part.url.path}.git"))
            except MovedError:
                raise RefusedError(str(error)) from error
        kind = self._git.run("cat-file", "-t", part.commit, at=bare, where=str(part.url)).strip()
        if kind != b"commit":
            raise RefusedError(f"{part.commit} of {part.name} is no commit")
        return bare

    def _fetch(self, part: Part, bare: pathlib.Path, url: Url) -> None:
        pinned = address.pin(url, self._own, resolve, part.name)
        try:
            self._git.fetch(bare, url, pinned, part.commit, depth=1)
        except NotServedError as error:
            gone = RefusedError(f"the commit {part.commit[:12]} is not in {url} any more")
            try:
                self._git.fetch(bare, url, pinned, part.ref, depth=FALLBACK_DEPTH)
            except NotServedError:
                raise gone from error
            try:
                self._git.run("cat-file", "-e", f"{part.commit}^{{commit}}", at=bare, where=str(url))
            except (RefusedError, TroubleError):
                raise gone from error

    def _title(self, part: Part, bare: pathlib.Path) -> str:
        """The first line of the commit's message."""
        words = ("log", "--no-walk", "--format=%B", part.commit, "--")
        message = self._git.run(*words, at=bare, where=str(part.url), limit=MAX_TITLE_BYTES)
        return message.decode("utf-8", "replace").strip().partition("\n")[0]

    def _entries(self, part: Part, bare: pathlib.Path) -> list[tree.Entry]:
        words = ("ls-tree", "-r", "-z", "-l", "--full-tree", part.commit)
        listing = self._git.run(*words, at=bare, where=str(part.url), limit=MAX_LISTING_BYTES + 1)
        if len(listing) > MAX_LISTING_BYTES:
            raise RefusedError(f"the repository has more than {self.budget.limits.files} files")
        return tree.entries(listing)

    def _refuse_pointers(self, part: Part, bare: pathlib.Path, found: list[tree.Entry]) -> None:
        asked = tree.pointers(found)
        questions = "".join(f"{each.id}\n" for each in asked).encode()
        with self._git.piped("cat-file", "--batch", at=bare, where=str(part.url), stdin=questions) as answers:
            for each in asked:
                answers.readline()
                if tree.is_pointer(answers.read(each.size + 1)[:-1]):
                    path = ascii((part.prefix + each.path)[:120])
                    raise RefusedError(f"{path} is kept in Git LFS, which is not supported: commit the file itself")

    def _submodules(self, part: Part, bare: pathlib.Path, found: list[tree.Entry]) -> list[tree.Submodule]:
        if not any(each.mode == tree.SUBMODULE for each in found):
            return []
        listed = next((each for each in found if each.path == ".gitmodules"), None)
        config = b""
        if listed is not None:
            if listed.mode not in tree.PLAIN or listed.size > MAX_GITMODULES_BYTES:
                raise RefusedError(f".gitmodules is a plain file of at most {MAX_GITMODULES_BYTES} bytes")
            words = ("config", "-z", "--list", f"--blob={listed.id}")
            try:
                config = self._git.run(*words, at=bare, where=".gitmodules", limit=2 * MAX_GITMODULES_BYTES)
            except TroubleError as error:
                raise RefusedError(f".gitmodules cannot be read: {error}") from error
        return list(tree.submodules(found, config))

    def _inner(self, part: Part, found: tree.Submodule) -> Part:
        prefix = f"{part.prefix}{found.path}/"
        whose = f"the submodule {prefix.rstrip('/')[:100]!a}"
        if part.level >= self.budget.limits.submodule_levels:
            levels = self.budget.limits.submodule_levels
            raise RefusedError(f"{whose} is more than {levels} levels of submodules deep")
        url = address.submodule(found.url, part.url, self._own, whose)
        return Part(url, found.commit, "HEAD", prefix, part.level + 1)


def fetch(orders: dict[str, str]) -> dict[str, str]:
    """Raises: RefusedError, TroubleError."""
    limits = tree.Limits(**{name: int(orders[name]) for name in tree.Limits._fields})
    own = address.parse(orders["url"], "the repository")
    if orders["username"] or orders["password"]:
        access.keep(access.PLACE, own.authority, own.scheme, orders["username"], orders["password"])
    deadline = time.monotonic() + limits.time_s
    git = Git(TMP, Own(own, access.PLACE.exists(), _authorities()), deadline=deadline)
    with (OUT / "snapshot").open("wb") as file:
        packer = Packer(file.write, limits.snapshot_bytes)
        fetcher = Fetcher(git, own, limits, packer)
        fetcher.take(Part(own, orders["commit"], orders["ref"], "", 0))
        size = packer.close()
    done = {"outcome": "succeeded", "files": str(fetcher.budget.files), "bytes": str(size)}
    return {**done, "title": fetcher.title}


def _authorities() -> pathlib.Path | None:
    """The operator's certificates beside the distribution's own."""
    given = IN / "authorities.pem"
    if not given.exists():
        return None
    place = TMP / "authorities.pem"
    place.write_bytes(AUTHORITIES.read_bytes() + b"\n" + given.read_bytes())
    return place


def main() -> int:
    place = IN / "orders"
    text = place.read_text("utf-8")
    place.unlink()
    orders = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    try:
        result = files.fetch(orders, IN, OUT) if orders.get("kind") == files.KIND else fetch(orders)
    except RefusedError as error:
        result = {"outcome": "refused", "message": str(error)}
    except TroubleError as error:
        result = {"outcome": "error", "message": str(error)}
    except EOFError:
        result = {"outcome": "error", "message": "git ended before its archive did"}
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        result = {"outcome": "refused", "message": "the repository is too large to be fetched"}
    finally:
        access.PLACE.unlink(missing_ok=True)
    if result["outcome"] != "succeeded":
        for made in ("snapshot", files.CONTENTS):
            (OUT / made).unlink(missing_ok=True)
    lines = (f"{key}={''.join(c if c.isprintable() else ' ' for c in value)}" for key, value in result.items())
    (OUT / "result").write_text("\n".join(lines), "utf-8", "replace")
    return 0
