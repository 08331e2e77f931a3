"""Git's own programs, for tests: commands that know nobody's settings, bare repositories, and git over HTTP."""

import os
import pathlib
import subprocess
import tempfile
from collections.abc import Mapping

from starlette.responses import Response

TIMEOUT_S = 120
_TRACE_CHARACTERS = 6000
_NOBODYS_SETTINGS = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    # A folder of a test may belong to another user than the one that looks into it.
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
_ADA = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


def git(at: pathlib.Path, *arguments: object, given: str = "") -> str:
    """What a git command prints in a folder, without the line breaks at its end. Commits are Ada's.

    `given` is its input. Raises: RuntimeError with what git says; of a push, also what went over HTTP.
    """
    with tempfile.NamedTemporaryFile() as trace:
        traced = {"GIT_TRACE_CURL": trace.name, "GIT_TRACE_CURL_NO_DATA": "1"} if arguments[0] == "push" else {}
        done = subprocess.run(
            ["git", *map(str, arguments)],
            cwd=at,
            env={**_NOBODYS_SETTINGS, **_ADA, "GIT_TERMINAL_PROMPT": "0", **traced},
            input=given.encode(),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        seen = trace.read().decode(errors="replace")[-_TRACE_CHARACTERS:]
    if done.returncode != 0:
        raise RuntimeError(f"git {arguments[0]}: {done.stderr.decode(errors='replace')}{seen}")
    return done.stdout.decode(errors="replace").rstrip("\n")


def make_bare(bare: pathlib.Path, branch: str = "main") -> None:
    """An empty repository that takes what a forge takes, and gives single commits."""
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", f"--initial-branch={branch}")
    for setting in (
        "http.receivepack=true",
        "receive.advertisePushOptions=true",
        "uploadpack.allowAnySHA1InWant=true",
        "uploadpack.allowFilter=true",
        "gc.auto=0",
    ):
        git(bare, "config", *setting.split("="))


def refs(bare: pathlib.Path) -> dict[str, str]:
    """Every branch and tag, and what it holds: of an annotated tag, the tag object."""
    lines = git(bare, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
    return dict(line.split(" ", 1) for line in lines.splitlines())


def http_backend(
    root: pathlib.Path, path: str, *, method: str, query: str, headers: Mapping[str, str], body: bytes, user: str = ""
) -> Response:
    """A CGI call (RFC 3875) of git's own server for the repositories below a folder.

    `path` starts at that folder: `/blink.git/info/refs`. `headers`: of the request, by their names in lower case.
    `user` is who pushes; git lets nobody push into a repository that does not say so itself, unless there is one.
    https://git-scm.com/docs/git-http-backend
    """
    environment = {
        **_NOBODYS_SETTINGS,
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
        "PATH_INFO": path,
        "REQUEST_METHOD": method,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "REMOTE_ADDR": "127.0.0.1",
        **({"REMOTE_USER": user} if user else {}),
    }
    done = subprocess.run(
        ["git", "http-backend"], input=body, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    # Its exit status says nothing: it fails where a client asks for what is not there, and answers that with 200.
    status = int(fields.pop("Status", "200" if fields else "500").split()[0])
    return Response(content, status, fields)
