"""What is said of releases, for whoever checks them: provenance, bills of materials, public keys (docs/provenance.md).

Under a build, as on its page, and under the digest of a release, which is all that a bundle knows of itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from service.domain.build import Build
from service.domain.bundle import MEDIA_TYPE
from service.domain.errors import NotFoundError
from service.domain.provenance import BUNDLE, ENVELOPE_TYPE, SBOM_TYPE, SNAPSHOT
from service.domain.release import AttestationKind, ReleaseDigest
from service.domain.rights import Right
from service.ports import Objects
from service.records import Builds
from service.web.auth import NOTHING
from service.web.ranges import ranged_response
from service.web.sight import Sight

KEYS_MAX_AGE_S = 300
TYPES = {AttestationKind.PROVENANCE: ENVELOPE_TYPE, AttestationKind.SBOM: SBOM_TYPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestations:
    """`trust` is `/keys.json`; `release_pem` is the key that signs these."""

    sight: Sight
    builds: Builds
    objects: Objects
    trust: Callable[[], Mapping[str, Any]]
    release_pem: Callable[[], str]

    def routes(self) -> list[Route]:
        return [
            Route("/keys.json", self.keys, methods=["GET"]),
            Route("/keys/release.pem", self.pem, methods=["GET"]),
            Route("/builds/{build:int}/provenance.json", self.provenance, methods=["GET"]),
            Route("/builds/{build:int}/snapshot.tar", self.snapshot, methods=["GET"]),
            Route("/builds/{build:int}/{board}/sbom.json", self.sbom, methods=["GET"]),
            Route("/builds/{build:int}/{board}/bundle.kiln", self.bundle, methods=["GET"]),
            Route("/releases/{digest}/provenance.json", self.provenance, methods=["GET"]),
            Route("/releases/{digest}/sbom.json", self.sbom, methods=["GET"]),
            Route("/releases/{digest}/snapshot.tar", self.snapshot, methods=["GET"]),
        ]

    async def keys(self, request: Request) -> Response:
        """As `trust.json` of a device has them, and which release keys there were before."""
        return JSONResponse(self.trust(), headers={"Cache-Control": f"max-age={KEYS_MAX_AGE_S}"})

    async def pem(self, request: Request) -> Response:
        headers = {"Cache-Control": f"max-age={KEYS_MAX_AGE_S}"}
        return PlainTextResponse(self.release_pem(), media_type="application/x-pem-file", headers=headers)

    async def provenance(self, request: Request) -> Response:
        build, _ = await self._named(request)
        return await self._answer(request, build, AttestationKind.PROVENANCE, "")

    async def sbom(self, request: Request) -> Response:
        build, board = await self._named(request)
        return await self._answer(request, build, AttestationKind.SBOM, board)

    async def snapshot(self, request: Request) -> Response:
        """The source that was built: more than artifacts tell, so for those who may build it."""
        build, _ = await self._named(request, Right.BUILD)
        if not build.source_digest:
            raise NotFoundError("this build has no source yet")
        headers = _attachment(f"build-{build.id}-{SNAPSHOT}")
        digest = build.source_digest
        return await ranged_response(self.objects, digest, request, media_type="application/x-tar", headers=headers)

    async def bundle(self, request: Request) -> Response:
        """What devices fetch by their token, for people."""
        build, board = await self._named(request)
        bundles = await run_in_threadpool(self.builds.bundles, build.id)
        found = next((each for each in bundles if each.board == board), None)
        if found is None:
            raise NotFoundError("this build has no bundle for such a board")
        headers = _attachment(f"{board}-{BUNDLE}")
        return await ranged_response(self.objects, found.object_digest, request, media_type=MEDIA_TYPE, headers=headers)

    async def _answer(self, request: Request, build: Build, kind: AttestationKind, board: str) -> Response:
        kept = await run_in_threadpool(self.builds.attestations, build.id)
        found = next((each for each in kept if (each.kind, each.board) == (kind, board)), None)
        if found is None:
            raise NotFoundError(f"no {kind.value} is kept here: the build made no release, or an older Kiln made it")
        headers = {"X-Content-Type-Options": "nosniff"}
        return await ranged_response(self.objects, found.digest, request, media_type=TYPES[kind], headers=headers)

    async def _named(self, request: Request, right: Right = Right.VIEW) -> tuple[Build, str]:
        """The build that an address names, and the board. Raises: NotFoundError, ForbiddenError, BadSignatureError."""
        digest = request.path_params.get("digest")
        if digest is None:
            build, _ = await self.sight.build(request, request.path_params["build"], right)
            return build, request.path_params.get("board", "")
        try:
            bundle = await run_in_threadpool(self.builds.bundle, ReleaseDigest(digest))
        except NotFoundError as error:
            raise NotFoundError(NOTHING) from error
        build, _ = await self.sight.build(request, bundle.build, right)
        return build, bundle.board


def _attachment(name: str) -> dict[str, str]:
    """Names are ours: a build's number, a board of the catalogue."""
    return {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
