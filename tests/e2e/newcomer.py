"""A new user: a Kiln of their own, the command line, a clone to push from. Nothing else is known here."""

import html.parser
import http.cookiejar
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from deploy.demo.parts import ROOT, Kiln, clean_environment
from tests.simulators.git import git

WAIT_S = 60.0
BLINK = ROOT / "examples" / "blink"
BOARDS = {"esp32-generic", "esp8266-generic", "rpi-pico-w", "unix"}  # that it is built for
CONTEXTS = {"kiln", *(f"kiln/{board}" for board in BOARDS)}  # what a forge shows beside its commits


class Newcomer:
    def __init__(self, folder: pathlib.Path, kiln: Kiln) -> None:
        self.folder = folder
        self.kiln = kiln

    def command(self, *words: str, fails: bool = False) -> Any:
        """`kiln WORDS`; its JSON, or its sentence when it is to fail."""
        environment = {**clean_environment(), "KILN_URL": self.kiln.url, "KILN_TOKEN": self.kiln.token}
        done = subprocess.run(
            [sys.executable, "-m", "service", *words],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stderr if fails else json.loads(done.stdout)

    def secret_file(self, text: str) -> str:
        path = self.folder / "token.txt"
        path.touch(mode=0o600)
        path.write_text(text + "\n")
        return str(path)

    def builds(self, repository: str) -> list[dict[str, Any]]:
        """Newest first."""
        query = urllib.parse.urlencode({"repository": repository})
        found: list[dict[str, Any]] = self.kiln.call(f"/api/v1/builds?{query}")
        return found

    def build(self, number: int) -> dict[str, Any]:
        """Once it is over."""
        found: dict[str, Any] = {}

        def is_over() -> bool:
            nonlocal found
            found = self.command("builds", "show", str(number))
            return found["finished_at"] is not None

        wait(is_over, f"build {number} to end")
        return found

    def build_of(self, repository: str, commit: str) -> dict[str, Any]:
        """The newest build of a commit, once there is one and it is over."""
        found: list[int] = []

        def is_there() -> bool:
            found[:] = [each["id"] for each in self.builds(repository) if each["commit"] == commit]
            return bool(found)

        wait(is_there, f"a build of {commit[:7]}")
        return self.build(max(found))


class Clone:
    """A working copy with the example in it."""

    def __init__(self, at: pathlib.Path, url: str) -> None:
        self.at = at
        git(at.parent, "clone", "--quiet", url, at)
        self.git("checkout", "--quiet", "-B", "main")

    def put_example(self) -> None:
        shutil.copytree(BLINK, self.at, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))

    def commit(self, message: str, **files: str) -> str:
        for name, text in files.items():
            path = self.at / name.replace("__", "/").replace("_py", ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def version(self, text: str) -> str:
        main = self.at / "src" / "main.py"
        main.write_text(re.sub(r'^VERSION = ".*"$', f'VERSION = "{text}"', main.read_text(), flags=re.MULTILINE))
        return self.commit(f"version {text}")

    def push(self, *what: str) -> None:
        self.git("push", "--quiet", "origin", *(what or ("main",)))

    def git(self, *words: str) -> str:
        return git(self.at, *words)


class Form(html.parser.HTMLParser):
    """The first form that is posted on a page: its address and fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and given.get("method") == "post" and not self.action:
            self.action = given.get("action") or ""
        if tag == "input" and self.action and not self.fields.keys() & {given.get("name")}:
            self.fields[given.get("name") or ""] = given.get("value") or ""


class Browser:
    """Keeps cookies and follows redirects, as far as a person's does."""

    def __init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def get(self, url: str) -> str:
        return self._open(url, None, {}).decode()

    def download(self, url: str) -> bytes:
        return self._open(url, None, {})

    def post(self, url: str, fields: dict[str, str], *, origin: str = "") -> str:
        headers = {"Origin": origin} if origin else {}
        return self._open(url, urllib.parse.urlencode(fields).encode(), headers).decode()

    def _open(self, url: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(url, data=body, headers={"Accept": "text/html", **headers})
        try:
            with self._opener.open(request, timeout=30) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{url}: {error.code} {error.read().decode(errors='replace')}") from error


def wait(look: Callable[[], object], what: str, *, seconds: float = WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.1)
