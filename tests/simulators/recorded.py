"""Plays recorded HTTP sessions of the project `ogr` again, as a real server.

https://github.com/packit/ogr/tree/main/tests/integration has the files; they come with its source package.
"""

import json
import pathlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_KEPT = ("etag", "content-type", "link", "location", "retry-after")


@dataclass(frozen=True, slots=True)
class Answer:
    method: str
    path: str  # as it was asked for, still encoded
    status: int
    content: Any  # JSON, or text
    headers: dict[str, str]


class Recorded:
    """Serves what was recorded for a method and path, in its order; the last of it again and again.

    What was said of the recorded host is said of ours. `asked` has each request's method, path and JSON body.
    """

    def __init__(self, answers: list[Answer], *, host: str, url: str) -> None:
        self._host, self._url = host, url
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        for answer in answers:
            self._answers.setdefault((answer.method, answer.path), []).append(answer)
        self.asked: list[tuple[str, str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        path = scope["raw_path"].decode().partition("?")[0]
        self.asked.append((request.method, path, json.loads(body) if body else None))
        waiting = self._answers.get((request.method, path), [])
        if not waiting:
            await Response(f"nothing was recorded for {request.method} {path}", 599)(scope, receive, send)
            return
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        text = answer.content if isinstance(answer.content, str) else json.dumps(answer.content)
        headers = {name: value for name, value in answer.headers.items() if name in _KEPT}
        await Response(text.replace(self._host, self._url), answer.status, headers)(scope, receive, send)


def cassette(file: pathlib.Path) -> list[Answer]:
    """Every answer in a file."""
    session = yaml.load(file.read_text("utf-8"), yaml.CSafeLoader).get("requests.sessions", {"send": {}})["send"]
    return [
        _answer(method, url, one["output"])
        for method, urls in session.items()
        for url, recorded in urls.items()
        for one in recorded
    ]


def _answer(method: str, url: str, output: dict[str, Any]) -> Answer:
    parts = urlsplit(url)
    headers = {name.lower(): str(value) for name, value in output["headers"].items()}
    return Answer(method, parts.path, output["status_code"], output["_content"], headers)
