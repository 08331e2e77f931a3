"""Builds, devices and repositories as JSON for the API."""

from typing import Any

from runners.contract.job import Annotation
from service.domain.build import Build, BuildJob
from service.domain.connection import Connection
from service.domain.hook import Hook
from service.domain.mark import Told
from service.domain.release import Attestation, AttestationKind, Bundle, Release
from service.domain.repository import Repository


def repository(value: Repository, *, base_url: str) -> dict[str, Any]:
    return {
        "id": value.id,
        "forge": value.forge.value,
        "host": value.host,
        "path": value.path,
        "default_branch": value.default_branch,
        "public": value.public,
        "connection": value.connection or None,
        "requests": value.requests.value,
        "check": value.check.value,
        "note": value.note,
        "hook_url": f"{base_url}/hooks/{value.id}",
        "badge_url": f"{base_url}/badges/{value.id}.svg",
    }


def hook(value: Hook) -> dict[str, Any]:
    return {
        "state": value.state.value,
        "detail": value.detail,
        "checked_at": value.checked_at.isoformat() if value.checked_at else None,
        "reconciled_at": value.reconciled_at.isoformat() if value.reconciled_at else None,
    }


def connection(value: Connection) -> dict[str, Any]:
    """Without its secrets."""
    return {
        "id": value.id,
        "forge": value.forge.value,
        "host": value.host,
        "kind": value.kind.value,
        "name": value.name,
        "app_id": value.app_id,
        "install_url": value.install_url or None,
        "created_at": value.created_at.isoformat(),
        "note": value.note,
    }


def build(value: Build, *, base_url: str) -> dict[str, Any]:
    return {
        "id": value.id,
        "url": f"{base_url}/builds/{value.id}",
        "repository": value.repository,
        "number": value.number,
        "kind": value.kind.value,
        "request": value.request,
        "ref": value.ref,
        "commit": value.commit,
        "title": value.title,
        "author": value.author,
        "status": value.status.value,
        "message": value.message,
        "created_at": value.created_at.isoformat(),
        "finished_at": value.finished_at.isoformat() if value.finished_at else None,
        "superseded_by": value.superseded_by,
        "may_release": value.may_release,
    }


def job(value: BuildJob, *, base_url: str, flash: tuple[str, str] = ("", "")) -> dict[str, Any]:
    """`flash` is the name of its flash image, or else what is missing for one."""
    image, missing = flash
    here = f"{base_url}/builds/{value.build}/{value.board}"
    return {
        "id": value.id,
        "board": value.board,
        "status": value.status.value,
        "outcome": value.outcome.value if value.outcome else None,
        "message": value.message,
        "annotations": [_annotation(each) for each in value.annotations],
        "warnings": [_annotation(each) for each in value.warnings],
        "sizes": [
            {"name": each.name, "size_bytes": each.size_bytes, "of_bytes": each.of_bytes or None}
            for each in value.sizes
        ],
        "artifacts": [
            {
                "name": each.name,
                "digest": each.digest,
                "size_bytes": each.size_bytes,
                "url": f"{here}/files/{each.name}",
            }
            for each in value.artifacts
        ],
        "flash_url": f"{here}/flash/{image}" if image else None,
        "flash_missing": missing,
        "image": value.image,
        "seconds": value.seconds,
        "log_url": f"{here}/log",
    }


def _annotation(value: Annotation) -> dict[str, Any]:
    return {"path": value.path, "line": value.line, "text": value.text}


def told(value: dict[str, Told], *, is_known: bool) -> list[dict[str, Any]]:
    """What the forge was told, the whole build's mark first. What it said against it is not for everybody."""
    return [
        {
            "board": board or None,
            "state": each.word or None,
            "error": each.error if is_known else "",
            "next_at": each.next_at.isoformat() if each.next_at else None,
        }
        for board, each in sorted(value.items())
    ]


def release(value: Release, bundles: list[Bundle], attestations: list[Attestation], *, base_url: str) -> dict[str, Any]:
    here = f"{base_url}/builds/{value.build}"
    boards = {each.board for each in attestations if each.kind is AttestationKind.SBOM}
    has_provenance = any(each.kind is AttestationKind.PROVENANCE for each in attestations)
    return {
        "name": value.name,
        "version": value.version,
        "counter": value.counter,
        "channel": value.channel,
        "notes": value.notes,
        "withdrawn_at": value.withdrawn_at.isoformat() if value.withdrawn_at else None,
        "withdrawn_why": value.withdrawn_why or None,
        "provenance_url": f"{here}/provenance.json" if has_provenance else None,
        "bundles": [
            {
                "board": each.board,
                "digest": each.digest,
                "size_bytes": each.size_bytes,
                "url": f"{here}/{each.board}/bundle.kiln",
                "sbom_url": f"{here}/{each.board}/sbom.json" if each.board in boards else None,
            }
            for each in bundles
        ],
    }
