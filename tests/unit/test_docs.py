"""The texts are held to the code: what they name exists, and what exists is named."""

import ast
import functools
import pathlib
import re
import subprocess
import tomllib
from collections.abc import Iterator

import pytest

from service.settings import PREFIX, Settings

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"


@functools.cache
def tracked(*patterns: str) -> list[pathlib.Path]:
    """The project's files, those included that will be added next."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found = (ROOT / name for name in sorted(set(listed.split("\0"))) if name)
    return [path for path in found if path.is_file() and not path.is_symlink()]


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def folders() -> list[str]:
    """The top-level folders that belong to the project and are to be looked into."""
    parts = {path.relative_to(ROOT).parts for path in tracked()}
    return sorted({each[0] for each in parts if len(each) > 1 and not each[0].startswith(".")})


MARKDOWN = [str(path.relative_to(ROOT)) for path in tracked("*.md")]
FOR_READERS = ["README.md", "README.ru.md", "CONTRIBUTING.md", *(each for each in MARKDOWN if each.startswith("docs/"))]
BOARDS = sorted(tomllib.loads(text("runners/contract/boards.toml")))


# -- settings

INNER = {
    "KILN_LOG_BYTES",
    "KILN_OUTPUT_BYTES",
    "KILN_PATIENCE_S",
}  # between a runner and its container: nobody sets them


@functools.cache
def named_in_runners() -> set[str]:
    """The variables that runners read, and those of the command line beside the service's settings."""
    files = [*tracked("runners/*.py"), ROOT / "service/__main__.py"]
    names = {name for path in files for name in re.findall(r'"(KILN_[A-Z0-9_]+)"', path.read_text("utf-8"))}
    return names - INNER


def test_every_setting_is_in_the_docs_and_nothing_else_is() -> None:
    said = set(re.findall(r"^\| `(KILN_[A-Z0-9_]+)` \|", text("docs/settings.md"), re.MULTILINE))
    fields = {PREFIX + name.upper() for name in Settings.__dataclass_fields__}
    assert fields - said == set()
    assert said - fields - named_in_runners() == set()


def test_every_variable_of_the_other_commands_is_in_the_docs() -> None:
    assert {name for name in named_in_runners() if f"`{name}`" not in text("docs/settings.md")} == set()


@pytest.mark.parametrize("name", MARKDOWN)
def test_no_text_names_a_setting_that_is_unknown(name: str) -> None:
    known = {PREFIX + each.upper() for each in Settings.__dataclass_fields__} | named_in_runners() | INNER
    assert set(re.findall(r"\bKILN_[A-Z0-9_]*[A-Z0-9]\b", text(name))) - known == set()


def test_the_defaults_in_the_docs_are_those_of_the_code() -> None:
    for name, field in Settings.__dataclass_fields__.items():
        row = re.search(rf"^\| `{PREFIX}{name.upper()}` \| (.+?) \|", text("docs/settings.md"), re.MULTILINE)
        assert row is not None, name
        if isinstance(field.default, int | str) and field.default not in ("", 0):
            assert row[1] == f"`{field.default}`", name


# -- device.json


def defaults_of_a_device() -> dict[str, str]:
    """Name and default of each number that the agent reads in device.json."""
    found: dict[str, str] = {}
    for name in ("config", "download"):
        body = text(f"device/ota/{name}.py")
        found |= dict(re.findall(r"^    \(\"([a-z_]+)\", (\d+)\),", body, re.MULTILINE))
        numbers = dict(re.findall(r"^(_[A-Z_]+) = const\((\d+)\)", body, re.MULTILINE))
        named = re.findall(r"_device\.get\(\"([a-z_]+)\", (_[A-Z_]+)\)", body)
        found |= {key: numbers[number] for key, number in named}
    return found


def test_what_may_be_added_to_a_devices_file_is_in_the_docs_with_its_default() -> None:
    rows = text("docs/settings.md").partition("## A device")[2]
    said = dict(re.findall(r"^\| `([a-z_]+)` \| (\d+) \|", rows, re.MULTILINE))
    assert len(said) > 10
    assert said == defaults_of_a_device()


# -- the update protocol


def reasons_in_the_docs() -> set[str]:
    table = text("docs/ota.md").partition("| reason | meaning |")[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE))


# Which argument of which call of the agent is a reason code.
REASONED = {"RefusedError": 0, "_say": 1, "refuse": 2, "roll_back": 1, "post": 2, "_give_up": 2}


def reasons_in_the_agent() -> set[str]:
    found: set[str] = set()
    for path in tracked("device/ota/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                found |= set(_reason_of(node))
    return found - {""}


def _reason_of(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    place = REASONED.get(name)
    if place is None or len(call.args) <= place:
        return
    for node in ast.walk(call.args[place]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_reason_of_the_agent_is_in_the_protocol_and_vice_versa() -> None:
    assert reasons_in_the_agent() == reasons_in_the_docs()


def test_every_reason_of_the_protocol_has_a_sentence_for_people() -> None:
    from service.domain.reasons import REASONS

    assert set(REASONS) == reasons_in_the_docs()


def test_states_of_a_device_are_those_of_the_protocol() -> None:
    from service.domain.device import DeviceState

    line = next(each for each in text("docs/ota.md").splitlines() if each.startswith("States: "))
    assert set(re.findall(r"[a-z_]+", line.removeprefix("States: "))) - {"and"} == {each.value for each in DeviceState}


# -- boards, commands, targets


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("readme", ["README.md", "README.ru.md"])
def test_every_board_is_in_the_readme(board: str, readme: str) -> None:
    assert f"| `{board}` |" in text(readme)


def test_the_page_of_boards_shows_the_catalogue() -> None:
    """`kiln boards --markdown` writes what belongs there."""
    from runners.contract.board import Catalogue
    from runners.contract.listing import as_markdown

    shown = text("docs/boards.md").partition("<!-- kiln boards --markdown -->\n")[2].partition("<!-- end -->")[0]
    assert shown == as_markdown(Catalogue.load())


def test_every_variant_is_on_the_page_of_boards() -> None:
    from runners.contract.board import Catalogue

    variants = {variant for board in Catalogue.load().boards.values() for variant in board.variants}
    assert {each for each in variants if f"| `{each}` |" not in text("docs/boards.md")} == set()


def shell(name: str) -> list[str]:
    """The commands of a text's shell blocks, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text(name), re.MULTILINE | re.DOTALL)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]


def test_both_readmes_name_the_same_commands() -> None:
    assert shell("README.md") == shell("README.ru.md")
    assert {"make demo", "make test"} <= set(shell("README.md")[:4])


def targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", text("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("name", FOR_READERS)
def test_every_make_target_that_is_named_exists(name: str) -> None:
    in_code = [*re.findall(r"`([^`\n]+)`", text(name)), *shell(name)]
    used = {found[1] for line in in_code if (found := re.match(r"(?:[A-Z_]+=\S+ )*make ([a-z][a-z0-9-]*)", line))}
    assert used - targets() == set()


def test_the_manifest_of_the_readme_is_read_without_a_complaint() -> None:
    from runners.contract.board import Catalogue
    from runners.contract.manifest import DEFAULT_CHANNELS, Manifest

    for name in ("README.md", "README.ru.md"):
        block = re.search(r"^```toml\n(.*?)^```", text(name), re.MULTILINE | re.DOTALL)
        assert block is not None
        manifest = Manifest.parse(block[1], default_name="x", catalogue=Catalogue.load())
        assert dict(manifest.channels) == DEFAULT_CHANNELS


def test_the_sentences_in_troubleshooting_are_said_by_the_code() -> None:
    code = "".join(path.read_text("utf-8") for path in tracked("service/*.py", "runners/*.py"))
    table = text("docs/operations.md").partition("| you read |")[2]
    sentences = re.findall(r"^\| `([^`]+)` \| ", table, re.MULTILINE)
    assert len(sentences) > 10
    for sentence in sentences:
        for part in sentence.split("…"):
            assert part.strip(" :") in code, sentence


def test_the_log_events_in_operations_are_logged_by_the_code() -> None:
    code = "".join(path.read_text("utf-8") for path in tracked("service/*.py", "runners/*.py"))
    table = text("docs/operations.md").partition("| event | means |")[2].partition("\n\n")[0]
    events = re.findall(r"^\| `([^`]+)` \| ", table, re.MULTILINE)
    assert events
    assert [each for each in events if f'"{each}"' not in code] == []


# -- structure of the texts


@pytest.mark.parametrize("name", MARKDOWN)
def test_every_relative_link_leads_to_a_file(name: str) -> None:
    plain = re.sub(r"^```.*?^```", "", text(name), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", plain)
    local = [each.partition("#")[0] for each in links if not re.match(r"[a-z]+:|#", each)]
    assert [each for each in local if not ((ROOT / name).parent / each).exists()] == []


def test_every_top_level_folder_has_a_readme() -> None:
    assert [each for each in folders() if not (ROOT / each / "README.md").is_file()] == []


@pytest.mark.parametrize("readme", ["README.md", "README.ru.md"])
def test_every_top_level_folder_is_in_the_layout(readme: str) -> None:
    assert [each for each in folders() if f"[{each}/]" not in text(readme)] == []


def test_every_decision_is_listed_and_numbers_are_not_used_twice() -> None:
    pages = sorted(path.name for path in DOCS.glob("decisions/[0-9]*.md"))
    listed = re.findall(r"^\| \[\d{4}\]\(([^)]+)\) \|", text("docs/decisions/README.md"), re.MULTILINE)
    assert listed == pages
    assert [each[:4] for each in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]


def test_the_list_of_decisions_has_their_own_titles() -> None:
    listed = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+) \|$", text("docs/decisions/README.md"), re.MULTILINE)
    heads = {page: text(f"docs/decisions/{page}").partition("\n")[0] for _, page, _ in listed}
    assert heads == {page: f"# {number}: {title}" for number, page, title in listed}


def test_every_decision_keeps_its_drawbacks() -> None:
    heading = re.compile(r"^#+ .*drawbacks", re.MULTILINE | re.IGNORECASE)
    pages = DOCS.glob("decisions/[0-9]*.md")
    assert [path.name for path in pages if not heading.search(path.read_text("utf-8"))] == []


def test_every_page_of_the_docs_is_in_the_index() -> None:
    index = text("docs/README.md")
    assert [path.name for path in DOCS.glob("*.md") if path.name != "README.md" and path.name not in index] == []


# Put together here, so that this file does not hold them. Build containers have a folder /work of their own.
FORBIDDEN = [
    "pypi" + ".org",
    "python" + "hosted",
    "registry." + "npmjs",
    "ghcr" + ".io",
    "index" + "-url",
    "/work/" + "main",
    "/work/" + "shared",
    "/home" + "/",
    "/root" + "/",
]


def test_no_text_names_a_package_registry_or_a_path_of_one_machine() -> None:
    found = []
    for path in tracked():
        if "samples" in path.parts:  # recorded deliveries are as the forge sent them
            continue
        content = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {each}" for each in FORBIDDEN if each in content]
    assert found == []
