"""The runners' commands: their help, and what they read of the environment."""

import pytest

from runners.__main__ import limits_of, main
from runners.errors import RefusedError


@pytest.mark.parametrize("name", ["KILN_JOB_MEMORY_MB", "KILN_JOB_TIME_S"])
@pytest.mark.parametrize("text", ["soon", "0", "-1", "9" * 10])
def test_a_limit_that_is_no_number_is_named(name: str, text: str) -> None:
    with pytest.raises(RefusedError, match=f"{name} is a number from 1, not '{text}'"):
        limits_of({name: text})


@pytest.mark.parametrize("name", ["build", "lock", "firmware"])
def test_the_help_says_what_is_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])

    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(f"usage: kiln {name} ")
    assert name == "lock" or "--firmware FOLDER with base firmware and its list; default: KILN_FIRMWARE" in said
