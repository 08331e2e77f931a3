"""Path filters: a push that touches nothing of what is built is skipped, and nothing is ever skipped by mistake."""

import datetime

import pytest

from runners.contract.board import Catalogue
from runners.contract.manifest import Manifest, ManifestError
from service.domain.build import Build, BuildId, Delivery, Status
from service.domain.event import Event, EventKind
from service.domain.touched import Known, Touched, touched
from tests.unit.service.conftest import BLINK, NOW, World
from tests.unit.service.steps import looked_over, snapped

A, B, C, D = "a" * 40, "b" * 40, "c" * 40, "d" * 40
DOCS = ("docs/x.md",)
MANIFEST = '[firmware]\nboards = ["unix"]\n[build]\npaths = ["src/**", "lib"]\n'


def build(commit: str, before: str, status: Status = Status.SUCCEEDED, changed: tuple[str, ...] | None = DOCS) -> Build:
    return Build(
        id=BuildId(1),
        repository=BLINK.id,
        number=1,
        ref="refs/heads/main",
        commit=commit,
        before=before,
        changed=changed,
        status=status,
        created_at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    )


def test_a_push_on_a_built_commit_changed_what_it_lists() -> None:
    assert touched(build(B, A), [build(A, "")]) == Touched(known=Known.PATHS, paths=DOCS)


def test_skipped_pushes_between_do_not_matter() -> None:
    earlier = [build(C, B, Status.SKIPPED), build(B, A, Status.SKIPPED), build(A, "", Status.FAILED)]

    assert touched(build(D, C), earlier) == Touched(known=Known.PATHS, paths=DOCS)


def test_what_a_superseded_push_changed_is_not_lost() -> None:
    earlier = [build(B, A, Status.CANCELLED), build(A, "")]

    assert touched(build(C, B), earlier) == Touched(known=Known.COMPARE, base=A)


@pytest.mark.parametrize(
    "earlier", [[], [build(A, "", Status.CANCELLED)], [build(A, "", Status.ERROR)], [build(A, "", Status.SKIPPED)]]
)
def test_all_counts_as_changed_where_nothing_was_built(earlier: list[Build]) -> None:
    assert touched(build(B, A), earlier) == Touched.all()


def test_a_capped_list_and_a_missed_push_are_compared() -> None:
    assert touched(build(B, A, changed=None), [build(A, "")]) == Touched(known=Known.COMPARE, base=A)
    assert touched(build(D, C), [build(A, "")]) == Touched(known=Known.COMPARE, base=A)


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (("src/main.py",), True),
        (("docs/a.md", "lib/net.py"), True),
        (("kiln.toml",), True),
        (("docs/a.md", "srcs/x.py"), False),
        ((), False),
    ],
)
def test_the_manifest_says_what_counts(paths: tuple[str, ...], *, wanted: bool) -> None:
    manifest = Manifest.parse(MANIFEST, default_name="x", catalogue=Catalogue.load())

    assert manifest.wants(paths) is wanted


def test_a_wrong_filter_is_named_with_its_line() -> None:
    with pytest.raises(ManifestError, match='line 2: unknown key "path"'):
        Manifest.parse('[build]\npath = ["x"]\n', default_name="x", catalogue=Catalogue.load())


def pushed(world: World, commit: str, before: str, changed: tuple[str, ...] | None) -> BuildId:
    ref = "refs/heads/main"
    event = Event(
        kind=EventKind.PUSH,
        delivery=commit[:8],
        path=BLINK.path,
        ref=ref,
        commit=commit,
        before=before,
        changed=changed,
    )
    made = world.builds.accept([Delivery(repository=BLINK.id, event=event)], now=NOW)[0].build
    assert made is not None
    return made


def test_a_push_of_texts_alone_is_skipped_and_the_forge_is_asked_only_where_the_list_is_short(world: World) -> None:
    world.sources.files["kiln.toml"] = MANIFEST.encode()
    first = pushed(world, A, "", None)
    snapped(world, first)
    planned = looked_over(world, first)
    world.builds.end_build(first, Status.SUCCEEDED, "", now=NOW)

    texts = pushed(world, B, A, DOCS)
    snapped(world, texts)
    skipped = looked_over(world, texts)
    world.builds.end_build(texts, Status.SKIPPED, "", now=NOW)
    capped = pushed(world, C, B, None)
    snapped(world, capped)
    unknown = looked_over(world, capped)
    world.compared = ("docs/y.md",)
    known = looked_over(world, capped)

    assert planned is not None
    assert skipped is None
    assert unknown is not None
    assert known is None
    assert world.asked == [(A, C), (A, C)]


def test_what_somebody_wants_built_again_is_built_whatever_it_touched(world: World) -> None:
    world.sources.files["kiln.toml"] = MANIFEST.encode()
    world.compared = ()  # as a forge says of one commit and itself, and of an old commit beside a newer one
    first = pushed(world, A, "", None)
    world.builds.end_build(first, Status.FAILED, "no", now=NOW)
    for old in (False, True):
        if old:
            world.builds.end_build(pushed(world, B, A, ("src/x.py",)), Status.SUCCEEDED, "", now=NOW)
        event = Event(kind=EventKind.RERUN, delivery=f"again-{old}", path=BLINK.path, build=str(first))
        again = world.builds.accept([Delivery(repository=BLINK.id, event=event)], now=NOW)[0].build
        assert again is not None
        snapped(world, again)

        assert looked_over(world, again) is not None
        world.builds.end_build(again, Status.FAILED, "no", now=NOW)
