"""What the plan finds in a snapshot where no manifest can be."""

import io
import tarfile

import pytest

from service.domain.build import Build, BuildId
from service.domain.errors import MalformedError
from service.flows.plan import read_manifest
from tests.unit.service.conftest import BLINK, NOW, World


def emptied(**more: object) -> bytes:
    made = io.BytesIO()
    tarfile.open(fileobj=made, mode="w", **more).close()  # type: ignore[call-overload]
    return made.getvalue()


AS_GIT = emptied(format=tarfile.PAX_FORMAT, pax_headers={"comment": "a" * 40})


@pytest.mark.parametrize(
    ("snapshot", "said"),
    [
        (emptied(), "the commit holds no files: there is nothing to build"),
        (AS_GIT, "the commit holds no files: there is nothing to build"),
        (b"not a tar" * 1000, "not a readable archive"),
    ],
    ids=["nothing", "only the commit's id", "rubbish"],
)
def test_a_source_without_files_fails_with_a_sentence(world: World, snapshot: bytes, said: str) -> None:
    kept = world.objects.put([snapshot])
    build = Build(
        id=BuildId(1),
        repository=BLINK.id,
        number=1,
        ref="refs/heads/main",
        commit="a" * 40,
        source_digest=kept.digest,
        created_at=NOW,
    )

    with pytest.raises(MalformedError, match=said):
        read_manifest(build, objects=world.objects, catalogue=world.catalogue, name="blink")
