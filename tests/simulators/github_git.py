"""Git over HTTP as forges serve it: Git's own `http-backend` behind ASGI, on real bare repositories.

https://git-scm.com/docs/git-http-backend
"""

import base64
import os
import pathlib
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

# What a push changed: full ref -> (what it held, what it holds), empty where it was not or is not.
Changes = dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A bare repository that this request may read, or write."""

    bare: pathlib.Path
    pushed: Callable[[Changes], None]


class GitHttp:
    """`find` answers the repository at a path for who has this password, or the status of the refusal."""

    def __init__(self, home: pathlib.Path, find: Callable[[str, str, bool], Served | int]) -> None:
        self._home = home
        self._find = find
        self._pushing = threading.Lock()

    async def serve(self, request: Request) -> Response:
        """For the route `/{path:path}.git/{rest:path}`."""
        body = await request.body()
        return await run_in_threadpool(self._serve, request, body)

    def _serve(self, request: Request, body: bytes) -> Response:
        path, rest = request.path_params["path"], request.path_params["rest"]
        writes = "git-receive-pack" in (rest, request.query_params.get("service"))
        found = self._find(path, password(request.headers.get("authorization", "")), writes)
        if isinstance(found, int):
            ask = {"WWW-Authenticate": 'Basic realm="git"'} if found == 401 else {}
            return Response(f"refused: {found}\n", found, ask)
        if rest != "git-receive-pack":
            return self._run(request, found.bare, rest, body)
        with self._pushing:
            before = refs(found.bare)
            answer = self._run(request, found.bare, rest, body)
            after = refs(found.bare)
        found.pushed(
            {
                ref: (before.get(ref, ""), after.get(ref, ""))
                for ref in sorted(before.keys() | after.keys())
                if before.get(ref) != after.get(ref)
            }
        )
        return answer

    def _run(self, request: Request, bare: pathlib.Path, rest: str, body: bytes) -> Response:
        env = {
            "PATH": os.defpath,
            "HOME": str(self._home),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROJECT_ROOT": str(bare.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "somebody",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": f"/{bare.name}/{rest}",
            "QUERY_STRING": request.url.query,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        return Response(content, status, headers)


def password(authorization: str) -> str:
    """Of HTTP's Basic sign-in; empty when there is none."""
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return ""
    return base64.b64decode(encoded).decode().partition(":")[2]


def git(at: pathlib.Path, *arguments: str) -> str:
    """What a git command prints. It knows nobody's settings, and signs as nobody in particular."""
    who = {f"GIT_{role}_{what}": text for role in ("AUTHOR", "COMMITTER") for what, text in _WHO.items()}
    env = {"PATH": os.defpath, "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", **who}
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments], cwd=at, env=env, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"git {arguments[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


_WHO = {"NAME": "Ada", "EMAIL": "ada@example.com"}


def refs(bare: pathlib.Path) -> dict[str, str]:
    """Every branch and tag, and the object that it names: for an annotated tag, the tag."""
    lines = git(bare, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
    return dict(line.split(" ", 1) for line in lines.splitlines())


def make_bare(bare: pathlib.Path, branch: str = "main") -> None:
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", f"--initial-branch={branch}")
    git(bare, "config", "http.receivepack", "true")
    git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")  # as the forges do
