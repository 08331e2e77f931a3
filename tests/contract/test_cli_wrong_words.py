"""What is mistyped on the command line, and what the service says to do instead."""

import io
import json
import pathlib
import sys
from collections.abc import Iterator

import pytest

from tests.contract.archive_stage import Stage
from tests.contract.terminal import Terminal, terminal_of

REPOSITORY = "github/acme/secret"


@pytest.fixture
def terminal(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    """With a release, a device, a group, and a roll-out in which nobody failed."""
    stage = Stage.over(tmp_path / "data")
    stage.enrol("desk-1", "unix")
    stage.announce(stage.release("unix"))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with terminal_of(stage.site.app, tmp_path, capsys) as made:
        assert made.run(f"groups add roof --repository {REPOSITORY}")[0] == 0
        yield made
    stage.site.close()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("devices show a_b", "no device 'a_b'"),
        ("devices show é", "no device 'é'"),
        ("devices retire ../repositories", "no device '../repositories'"),
        ("devices archive a/b", "no device 'a/b'"),
        ("devices claim revoke a/b", "no code 'a/b'"),
        ("tokens revoke a/b", "no token 'a/b'"),
        ("connections remove a/b", "no connection 'a/b'"),
        (f"groups remove a/b --repository {REPOSITORY}", "no group 'a/b'"),
        ("builds show 99", "no build 99"),
        ("releases show 99", "no build 99"),
        ("releases withdraw 999999999999999999 --why x", "no build 999999999999999999"),
        (
            f"settings list --repository {REPOSITORY} --group rof",
            f"no group 'rof' in {REPOSITORY}; did you mean roof?",
        ),
        ("devices settings desk-1 --secret PERIOD_S", "'PERIOD_S' is not NAME=FILE"),
        ("devices settings desk-1 --secret PERIOD_S=HERE/none", "/none cannot be read: No such file or directory"),
        ("devices settings desk-1 --secret PERIOD_S=HERE/bytes", "/bytes cannot be read: it is no text in UTF-8"),
        ("devices settings desk-1 --secret PERIOD_S=-", "standard input holds nothing"),
        ("releases notes 1 --file HERE/bytes", "/bytes cannot be read: it is no text in UTF-8"),
        (f"repos set {REPOSITORY}", "say what to change: --public"),
        (f"repos set {REPOSITORY} --branch a..b", "no branch can be called 'a..b': it holds '..'"),
        (f"repos set {REPOSITORY} --branch=", "it has not 1 to 200 characters"),
        ("repos add https://github.com/acme/new --branch main/", "no branch can be called 'main/': it begins or ends"),
        ("rollouts retry 1", "nobody failed in roll-out 1: `kiln rollouts devices 1` says how each ended"),
        ("rollouts retry 1 desk-1", "none of these failed in roll-out 1"),
        (
            f"rollouts plan stabl --repository {REPOSITORY} --canary 2",
            f"{REPOSITORY} has no channel 'stabl'; did you mean stable? It has beta, stable",
        ),
    ],
)
def test_it_is_said_in_one_line(terminal: Terminal, line: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    code, printed = terminal.run(line)

    assert (code, printed.count("\n")) == (1, 1)
    assert printed.startswith("kiln: ")
    assert said in printed


@pytest.mark.parametrize("what", ["repos", "builds"])
def test_a_list_without_a_token_says_that_it_is_of_what_is_public(terminal: Terminal, what: str) -> None:
    code, out, err = terminal.streams(what, "list", token="")

    assert (code, json.loads(out)) == (0, [])
    assert err.startswith("kiln: no token, so only what is public is listed: set KILN_TOKEN")
    code, out, err = terminal.streams(what, "list")
    assert (code, len(json.loads(out)) > 0, err) == (0, True, "")


def test_a_name_with_a_space_is_looked_for(terminal: Terminal) -> None:
    assert terminal.text("devices", "show", "a b") == (1, "kiln: no device 'a b'\n")
    assert terminal.text("devices", "show", "") == (1, "kiln: no device ''\n")


PLAN = f"rollouts plan beta --repository {REPOSITORY} --file HERE/typed"
DEEP = "[" * 9000 + "]" * 9000


@pytest.mark.parametrize(
    ("line", "content", "said"),
    [
        (f"rollouts plan beta --repository {REPOSITORY} --file HERE/typed", f"a = {DEEP}", "typed is not TOML: "),
        (
            f"rollouts plan beta --repository {REPOSITORY} --file HERE/typed",
            "a = 2026-01-01",
            "typed is no plan: a time",
        ),
        ("rollouts replan 1 --file HERE/typed", "[a]\nb = [07:30:00]", "typed is no plan: a time is for `start` alone"),
        ("devices settings desk-1 --file HERE/typed", DEEP[:16000], "typed is no JSON"),
        ("audit verify HERE/typed", DEEP, "this is no export of the audit log"),
    ],
)
def test_a_file_of_nonsense_is_said(terminal: Terminal, line: str, content: str, said: str) -> None:
    (terminal.folder / "typed").write_text(content)

    code, printed = terminal.run(line)

    assert (code, printed.count("\n"), said in printed) == (1, 1, True), printed


@pytest.mark.parametrize(
    "words", ["devices show \udcff", "devices list --text \udcff", "rollouts devices 1 --after \udcff"]
)
def test_what_is_no_text_is_said(terminal: Terminal, words: str) -> None:
    """As Python has bytes of a command line that are of another encoding."""
    assert terminal.run(words) == (1, "kiln: what was typed is no text in UTF-8\n")


def test_the_plan_of_a_channel_that_there_is_can_be_made_ahead_of_its_releases(terminal: Terminal) -> None:
    code, said = terminal.run(f"rollouts plan stable --repository {REPOSITORY} --canary 2")

    assert (code, said["is_default"]) == (0, False)
