"""One bill of materials by CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""

import uuid
from collections.abc import Iterable

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from service.domain.materials import Dependency, Materials, Part
from service.domain.repository import Forge

NAMESPACE = uuid.UUID("6f1d3b0e-6a53-5c0b-9d0a-5b1b8a9d7c42")  # of our serial numbers; any fixed one does


def bill(materials: Materials, *, version: str) -> bytes:
    """JSON; `version` is Kiln's."""
    firmware = _firmware(materials)
    parts = [_part(each, "file") for each in materials.parts]
    libraries = [_library(each) for each in materials.dependencies]
    platform, tools = _platform(materials), _tools(materials)
    bom = Bom(
        serial_number=uuid.uuid5(NAMESPACE, f"{materials.board}/{materials.digest}"),
        metadata=BomMetaData(
            timestamp=materials.at,
            component=firmware,
            lifecycles=[PredefinedLifecycle(LifecyclePhase.BUILD)],
            tools=ToolRepository(components=[Component(name="kiln", version=version, bom_ref="kiln")]),
        ),
        components=[*parts, *libraries, *platform, *tools],
    )
    bom.register_dependency(firmware, [*parts, *libraries, *platform])
    return JsonV1Dot6(bom).output_as_string(indent=2).encode() + b"\n"


def _firmware(materials: Materials) -> Component:
    known = {
        "kiln:board": materials.board,
        "kiln:family": materials.family,
        "kiln:commit": materials.commit,
        "kiln:snapshot": materials.source_digest,
        "kiln:release": materials.release,
    }
    source = ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(materials.url))
    return Component(
        type=ComponentType.FIRMWARE,
        name=materials.name,
        version=materials.version,
        bom_ref="firmware",
        purl=_purl(materials),
        hashes=[_sha256(materials.digest)],
        properties=[Property(name=name, value=value) for name, value in known.items() if value],
        external_references=[source],
    )


def _purl(materials: Materials) -> PackageURL:
    """https://github.com/package-url/purl-spec: `github` is github.com's; others are `generic` with where from."""
    owner, _, name = materials.path.rpartition("/")
    if materials.forge is Forge.GITHUB and materials.host == "github.com":
        return PackageURL("github", owner, name, materials.commit)
    where = {"vcs_url": f"git+{materials.url}@{materials.commit}"}
    return PackageURL("generic", owner or None, name, materials.version, where)


def _part(part: Part, above: str) -> Component:
    size = Property(name="kiln:size_bytes", value=str(part.size_bytes))
    kind, hashes = ComponentType.FILE, [_sha256(part.digest)]
    return Component(type=kind, name=part.path, bom_ref=f"{above}:{part.path}", hashes=hashes, properties=[size])


def _library(dependency: Dependency) -> Component:
    ref, url = f"library:{dependency.folder or dependency.name}", dependency.url
    folder = [Property(name="kiln:folder", value=dependency.folder)] if dependency.folder else []
    download = {"download_url": url} if url else None
    distribution = ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(url))
    return Component(
        type=ComponentType.LIBRARY,
        name=dependency.name,
        version=dependency.version or None,
        bom_ref=ref,
        purl=PackageURL("generic", None, dependency.name, dependency.version or None, download),
        components=[_part(each, ref) for each in dependency.parts],
        properties=folder,
        external_references=[distribution] if url else [],
    )


def _platform(materials: Materials) -> list[Component]:
    """What runs the firmware and is on the board already."""
    if not materials.micropython:
        return []
    version = materials.micropython
    purl, ref = PackageURL("github", "micropython", "micropython", f"v{version}"), "platform:micropython"
    bytecode = [Property(name="kiln:mpy", value=str(materials.mpy))] if materials.mpy else []
    kind = ComponentType.PLATFORM
    return [Component(type=kind, name="micropython", version=version, bom_ref=ref, purl=purl, properties=bytecode)]


def _tools(materials: Materials) -> Iterable[Component]:
    """What built it and is not in it."""
    scope = ComponentScope.EXCLUDED
    if materials.micropython:
        purl, ref = PackageURL("generic", None, "mpy-cross", materials.micropython), "tool:mpy-cross"
        yield Component(name="mpy-cross", version=materials.micropython, bom_ref=ref, purl=purl, scope=scope)
    if materials.image:
        digest = materials.image.removeprefix("sha256:")
        kind, name, hashes = ComponentType.CONTAINER, f"build image {materials.family}", [_sha256(digest)]
        yield Component(type=kind, name=name, version=digest[:16], bom_ref="tool:image", hashes=hashes, scope=scope)


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
