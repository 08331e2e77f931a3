"""The description of the API: OpenAPI 3.1, at /api/v1/openapi.json. A test holds it to the routes."""

import functools
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.web.openapi import (
    archive,
    audit,
    builds,
    devices,
    fleet,
    ota,
    people,
    releases,
    repositories,
    rollouts,
    settings,
)
from service.web.openapi.words import Paths, Schema, operation, record, text, with_parameters

PATH = "/api/v1/openapi.json"
NOUNS = (builds, releases, rollouts, repositories, devices, archive, fleet, settings, people, audit, ota)

_SCHEMAS: dict[str, Schema] = {"Error": record(error=text(about="one sentence: what to fix"))}
_PATHS: Paths = {
    "/healthz": {"get": operation("Whether the service answers", {200: record(status=text())}, security="")},
    PATH: {"get": operation("This description", {200: {"type": "object"}}, security="")},
}
_ERROR = {  # the sentence alone for a browser, and where a device asks
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}},
        "text/plain": {"schema": text()},
    }
}


@functools.cache
def document(version: str) -> dict[str, Any]:
    """All of it. What it holds does not change while the process runs."""
    schemas, paths = dict(_SCHEMAS), dict(_PATHS)
    for noun in NOUNS:
        schemas |= noun.SCHEMAS
        for path, operations in noun.PATHS.items():
            paths[path] = {**paths.get(path, {}), **operations}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kiln", "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": {path: with_parameters(path, each) for path, each in paths.items()},
        "components": {
            "schemas": schemas,
            "responses": {
                "Refused": {"description": "Refused; the sentence says why.", **_ERROR},
                "Later": {"description": "A part that Kiln needs does not answer: try again later.", **_ERROR},
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "the administrator's, or an API token"},
                "device": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "a device's, with its id in X-Kiln-Device",
                },
            },
        },
    }


def routes(version: str) -> list[Route]:
    async def describe(_request: Request) -> Response:
        return JSONResponse(document(version))

    return [Route(PATH, describe, methods=["GET"])]
