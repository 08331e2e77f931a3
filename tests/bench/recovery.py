"""Fifty pushes over twenty branches and tags while Kiln is off: how long after the start until every head is built.

The baseline is the same pushes while Kiln is on, each delivered by the repository's hook.
"""

import json
import pathlib
import random
import tempfile
import time
from collections.abc import Callable

from deploy.demo.parts import ROOT, Kiln, Repository
from deploy.demo.story import FINAL

BRANCHES, TAGS, PUSHES = 14, 6, 50
WAIT_S = 180.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name:
        folder = pathlib.Path(name)
        on = run(folder / "on", is_on=True)
        off = run(folder / "off", is_on=False)
    print(f"{PUSHES} pushes over {BRANCHES} branches and {TAGS} tags")
    for what, seconds in (
        ("delivered one by one, from the first push to the last head built", on[1]),
        ("missed: every head accepted after the start", off[0]),
        ("missed: every head built after the start", off[1]),
    ):
        print(f"  {what:<65} {seconds:6.2f} s")
    print(f"  ratio of the last to the first: {off[1] / on[1]:4.2f}")


def run(folder: pathlib.Path, *, is_on: bool) -> tuple[float, float]:
    """Seconds until every head was accepted, and until it was built. Raises: RuntimeError when one is built twice."""
    folder.mkdir()
    kiln = Kiln(folder / "data", {})
    repository = Repository(folder, ROOT / "examples" / "blink")
    manifest = repository.work / "kiln.toml"
    manifest.write_text('[firmware]\nname = "blink"\nsource = "src"\nboards = ["unix"]\n')
    repository.commit("first")
    repository.push()
    kiln.start()
    try:
        body = {"forge": "local", "path": "bench/blink", "url": repository.url}
        added = kiln.call("/api/v1/repositories", body)
        repository.install_hook(added["hook_url"], added["secret"])
        wait(lambda: kiln.call("/api/v1/repositories")[0]["hook"]["reconciled_at"], "the first look")
        if not is_on:
            kiln.stop()
        began = time.monotonic()
        push_all(repository)
        if not is_on:
            began = time.monotonic()
            kiln.start()
        heads = repository.heads()
        wait(lambda: heads.items() <= newest(kiln).items(), "every head to be accepted")
        accepted = time.monotonic() - began
        wait(lambda: all(each["status"] in FINAL for each in builds(kiln)), "every head to be built")
        built = time.monotonic() - began
        check(kiln, heads)
        return accepted, built
    finally:
        kiln.stop()


def push_all(repository: Repository) -> None:
    chance = random.Random(1)
    branches = [f"b{number}" for number in range(BRANCHES)]
    pushes = [*branches, *chance.choices(branches, k=PUSHES - BRANCHES - TAGS)]
    for number, branch in enumerate(pushes):
        repository.set_version(str(number + 2))
        repository.commit(f"push {number}")
        repository.push_as(f"refs/heads/{branch}")
    for number in range(TAGS):
        repository.set_version(f"tag {number}")
        repository.commit(f"tag {number}")
        repository.push_as(f"refs/tags/v0.{number}.0")


def builds(kiln: Kiln) -> list[dict[str, str]]:
    found: list[dict[str, str]] = kiln.call("/api/v1/builds")
    return found


def newest(kiln: Kiln) -> dict[str, str]:
    """By ref; the list is newest first."""
    return {each["ref"]: each["commit"] for each in reversed(builds(kiln))}


def check(kiln: Kiln, heads: dict[str, str]) -> None:
    for ref, commit in heads.items():
        made = [each for each in builds(kiln) if (each["ref"], each["commit"]) == (ref, commit)]
        if [each["status"] for each in made] != ["succeeded"]:
            raise RuntimeError(f"{ref}: {json.dumps(made)}")


def wait(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {WAIT_S:g} s for {what}")
        time.sleep(0.05)
