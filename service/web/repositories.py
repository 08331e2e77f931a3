"""The API of repositories, JSON under /api/v1."""

import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.errors import BadInputError
from service.domain.repository import HOSTS, Forge, Repository, is_path, repository_id
from service.records import Repositories
from service.web import views
from service.web.auth import Auth
from service.web.bodies import read_fields

MAX_URL_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryApi:
    auth: Auth
    repositories: Repositories
    base_url: str

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/repositories", self.list_repositories, methods=["GET"]),
            Route("/api/v1/repositories", self.add_repository, methods=["POST"]),
        ]

    async def list_repositories(self, request: Request) -> Response:
        self.auth.require_admin(request)
        found = await run_in_threadpool(self.repositories.all)
        return JSONResponse([views.repository(each, base_url=self.base_url) for each in found])

    async def add_repository(self, request: Request) -> Response:
        self.auth.require_admin(request)
        fields = await read_fields(request, ("forge", "path", "url"), ("secret", "default_branch", "public"))
        repository = repository_of(fields)
        await run_in_threadpool(self.repositories.add, repository)
        # The hook's secret is shown here, once: it must be put into the forge.
        answer = {**views.repository(repository, base_url=self.base_url), "secret": repository.secret}
        return JSONResponse(answer, status_code=201)


def repository_of(fields: dict[str, Any]) -> Repository:
    """Raises: BadInputError naming the field to fix."""
    try:
        forge = Forge(fields["forge"])
    except ValueError as error:
        raise BadInputError("forge is github, gitlab or local") from error
    if not is_path(fields["path"]):
        raise BadInputError("path is like owner/name: letters, digits, '.', '_', '-'")
    url = fields["url"]
    schemes = ("file", "http", "https") if forge is Forge.LOCAL else ("https",)
    parts = urlsplit(url)
    if len(url) > MAX_URL_CHARS or not url.isprintable() or parts.scheme not in schemes:
        raise BadInputError(f"url of a {forge.value} repository starts with {' or '.join(f'{s}://' for s in schemes)}")
    if parts.scheme != "file" and not parts.hostname:
        raise BadInputError("url names no host")
    secret = fields.get("secret") or secrets.token_hex(20)
    if len(secret) < 16 or not secret.isascii():
        raise BadInputError("secret has at least 16 ASCII characters")
    return Repository(
        id=repository_id(forge, fields["path"]),
        forge=forge,
        host=HOSTS[forge],
        path=fields["path"],
        url=url,
        secret=secret,
        default_branch=fields.get("default_branch") or "main",
        public=fields.get("public", False),
    )
