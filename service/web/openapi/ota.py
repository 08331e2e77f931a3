"""What devices ask for; docs/ota.md says what they do with it."""

from service.domain import bundle, pack
from service.web.openapi.words import Paths, Schema, operation, text

SCHEMAS: dict[str, Schema] = {}
_BYTES: Schema = {"type": "string", "format": "binary"}
_DEVICE = "/ota/v1/devices/{device}"
_JOSE = "application/jose"
_ROOT = "application/vnd.kiln.root"


def _ranged(summary: str, media_type: str, query: dict[str, Schema] | None = None) -> dict[str, object]:
    answers: dict[int, Schema | str | None] = {200: _BYTES, 206: _BYTES}
    needs = tuple(query or ())
    return operation(summary, answers, query=query, needs=needs, media_type=media_type, security="device")


PATHS: Paths = {
    "/ota/v1/releases/{digest}/bundle": {"get": _ranged("A release's bundle", bundle.MEDIA_TYPE)},
    "/ota/v1/releases/{digest}/pack": {
        "get": _ranged("What differs from the release `from`, for older agents", pack.MEDIA_TYPE, {"from": text(64)})
    },
    "/ota/v1/releases/{digest}/pack/2": {
        "get": _ranged("What differs from the release `from`", pack.MEDIA_TYPE, {"from": text(64)})
    },
    f"{_DEVICE}/desired": {
        "get": operation("The newest order", {200: text(), 204: None}, media_type=_JOSE, security="device")
    },
    f"{_DEVICE}/config/{{digest}}": {
        "get": operation("Its configuration", {200: _BYTES}, media_type="application/octet-stream", security="device")
    },
    f"{_DEVICE}/report": {"post": operation("What it says of itself", {204: None}, security="device")},
    f"{_DEVICE}/time": {
        "get": operation(
            "The time, signed for a nonce",
            {200: text()},
            query={"nonce": text(pattern="^[0-9a-f]{32}$")},
            needs=("nonce",),
            media_type=_JOSE,
            security="device",
        )
    },
    "/ota/v1/roots/{version}": {"get": operation("A root document", {200: text()}, media_type=_ROOT, security="")},
}
