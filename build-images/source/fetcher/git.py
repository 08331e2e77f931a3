"""The git command: nothing of any configuration but ours, one host at a time, within limits."""

import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import IO, NamedTuple

from fetcher.address import Url
from fetcher.words import TroubleError, judge

HELPER = "/opt/kiln/recipe access"
AUTHORITIES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
MAX_SAID_BYTES = 16 << 10  # of what git prints on standard error
SLOW_BYTES_A_S, SLOW_S = 1000, 30  # a server that sends less for that long is given up
FALLBACK_DEPTH = 50  # of a ref whose commit is not served by its id: it may have moved on since


class Own(NamedTuple):
    """The repository's own host: it alone is shown the credential and vouched for by the operator's authorities."""

    url: Url
    has_access: bool
    authorities: pathlib.Path | None


class Git:
    def __init__(self, folder: pathlib.Path, own: Own, *, deadline: float) -> None:
        """`deadline`: by time.monotonic()."""
        self._folder = folder
        self._own = own
        self._deadline = deadline
        self._home = folder / "home"
        self._home.mkdir()

    def fetch(self, bare: pathlib.Path, url: Url, pinned: str, wanted: str, *, depth: int) -> None:
        """`wanted`: a commit or a ref. Raises: NotServedError, MovedError, RefusedError, TroubleError."""
        config = self._config(url, pinned)
        kind = "sha256" if len(wanted) == 64 else "sha1"
        if not bare.exists():
            self.run("init", "--quiet", "--bare", f"--object-format={kind}", "--", str(bare), where=str(url))
        words = ("--quiet", f"--depth={depth}", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        self.run("fetch", *words, "--", str(url), wanted, at=bare, config=config, where=str(url))

    def run(
        self,
        *words: str,
        where: str,
        at: pathlib.Path | None = None,
        config: pathlib.Path | None = None,
        stdin: bytes = b"",
        limit: int = MAX_SAID_BYTES,
    ) -> bytes:
        """Standard output, as far as `limit` bytes. Raises: as `judge` has it, naming `where`."""
        with self.piped(*words, where=where, at=at, config=config, stdin=stdin) as output:
            content = output.read(limit)
            while output.read(1 << 16):
                pass
        return content

    @contextlib.contextmanager
    def piped(
        self,
        *words: str,
        where: str,
        at: pathlib.Path | None = None,
        config: pathlib.Path | None = None,
        stdin: bytes = b"",
    ) -> Iterator[IO[bytes]]:
        said, asked = self._folder / "said", self._folder / "asked"
        asked.write_bytes(stdin)
        command = ["git", *(("-C", str(at)) if at else ()), *words]
        with said.open("wb") as errors, asked.open("rb") as questions:
            process = subprocess.Popen(
                command,
                env=self._environment(config),
                stdin=questions,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self._home,
                start_new_session=True,  # so that git's own children end with it
            )
        assert process.stdout is not None
        watchdog = threading.Timer(max(0.0, self._deadline - time.monotonic()), _kill, [process])
        watchdog.start()
        try:
            yield process.stdout
        except BaseException:
            _kill(process)
            raise
        finally:
            watchdog.cancel()
            process.stdout.close()
            code = process.wait()
        if code and time.monotonic() >= self._deadline:
            raise TroubleError(f"{where} was not fetched in time")
        if code:
            with said.open("rb") as errors:
                raise judge(errors.read(MAX_SAID_BYTES).decode("utf-8", "replace"), where)

    def _environment(self, config: pathlib.Path | None) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self._home),
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": str(config or "/dev/null"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "GIT_ALLOW_PROTOCOL": "https:http" if self._own.url.scheme == "http" else "https",
            "GIT_PROTOCOL_FROM_USER": "0",
        }

    def _config(self, url: Url, pinned: str) -> pathlib.Path:
        """For one fetch: every value is ours, or was looked at by `fetcher.address`."""
        lines = [*_ALWAYS, "[http]", "followRedirects = false", "proxy =", "sslVerify = true"]
        lines += [f"lowSpeedLimit = {SLOW_BYTES_A_S}", f"lowSpeedTime = {SLOW_S}"]
        lines += [f'curloptResolve = "{pinned}"'] if pinned else []
        lines += ["[credential]", "helper ="]
        if url.origin == self._own.url.origin:
            if self._own.has_access:
                lines += [f'[credential "{url.origin}"]', f'helper = "{HELPER}"']
            if self._own.authorities:
                lines += [f'[http "{url.origin}"]', f'sslCAInfo = "{self._own.authorities}"']
        place = self._folder / "config"
        place.write_text("\n".join([*lines, ""]), "utf-8")
        return place


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


_ALWAYS = (
    "[core]",
    "hooksPath = /dev/null",
    "askPass = /bin/false",
    "bigFileThreshold = 1m",  # larger ones pass through memory in pieces
    "[protocol]",
    "version = 2",
    "[fetch]",
    "fsckObjects = true",
    "unpackLimit = 1",
    "recurseSubmodules = false",
    "[transfer]",
    "fsckObjects = true",
    "bundleURI = false",
    # Flaws of old commits that harm nobody; git's own list of what it would only warn about is shorter.
    '[fetch "fsck"]',
    "zeroPaddedFilemode = ignore",
    "badTimezone = ignore",
    "missingSpaceBeforeDate = ignore",
    "missingEmail = ignore",
    "[gc]",
    "auto = 0",
    "[maintenance]",
    "auto = false",
)
