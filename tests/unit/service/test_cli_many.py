"""One command for many devices."""

import argparse
import json
from typing import Any

import pytest

from service import cli
from service.cli.client import CommandError
from service.cli.devices import for_each


class Answers(cli.Client):
    """Knows one device."""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        if path != "/api/v1/devices/roof-1/token":
            raise CommandError("no such device")
        return {"desired": "0" * 64, "seq": 3}


@pytest.mark.parametrize(("ids", "code"), [(["roof-1"], 0), (["gone", "roof-1"], 1)])
def test_one_that_fails_keeps_no_other_from_it_and_is_in_the_exit_code(
    ids: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    given = argparse.Namespace(act=for_each("token"), ids=ids, all=False, json=True)

    assert cli.run(Answers(url="http://kiln", token="t"), given) == code

    said = json.loads(capsys.readouterr().out)
    assert list(said) == ids
    assert said["roof-1"] == {"ordered": True, "seq": 3}
