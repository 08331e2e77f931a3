"""Settings used and not declared, and declared and not used."""

import pytest

from runners.contract.job import Options
from runners.recipes.lint.look import look

MANIFEST = b'[firmware]\nname = "x"\n\n[settings.PERIOD_S]\ntype = "integer"\n\n[settings."PIN"]\ntype = "integer"\n'
ENV = b'{\n  "PIN": 4,\n  "PU_DOMAIN": "unit.example.com"\n}\n'


def said(code: str, *declared: str, layout: str = "kiln", more: dict[str, bytes] | None = None) -> list[str]:
    chosen = {"src/main.py": code.encode()}
    home = {"env_example.json": ENV} if layout == "pepeunit" else {"kiln.toml": MANIFEST}
    found = look(chosen, {**home, **chosen, **(more or {})}, Options(settings=declared, layout=layout))
    return [f"{each.path}:{each.line} {each.text}" for each in found]


UNDECLARED = "src/main.py:2 the setting PERIOD_S is used here and not declared: add [settings.PERIOD_S] to kiln.toml"


@pytest.mark.parametrize(
    "code",
    [
        'import ota\nx = ota.settings["PERIOD_S"]',
        'import ota\nx = ota.settings.get("PERIOD_S", 5)',
        'import ota as o\nx = o.settings["PERIOD_S"]',
        'from ota import settings\nx = settings["PERIOD_S"]',
        'from ota import settings as s\nif "PERIOD_S" in s: pass',
        'import ota; conf = ota.settings\nx = conf.get("PERIOD_S")',
    ],
)
def test_each_way_to_read_a_setting_is_known(code: str) -> None:
    assert said(code) == [UNDECLARED]
    assert said(code, "PERIOD_S") == []


@pytest.mark.parametrize(
    "code",
    [
        'settings = {}\nx = settings["PERIOD_S"]',
        'from config import settings\nx = settings["PERIOD_S"]',
        'import other\nx = other.settings["PERIOD_S"]',
        "import ota\nx = ota.settings[name]",
        "x = (",
    ],
)
def test_what_is_not_the_agents_is_nobodys_business(code: str) -> None:
    assert said(code) == []


def test_a_setting_is_told_once_at_its_first_use() -> None:
    assert len(said('import ota\nx = ota.settings["PERIOD_S"]\ny = ota.settings["PERIOD_S"]')) == 1


def test_the_agent_uses_the_wifi_by_itself() -> None:
    assert said('import ota\nx = ota.settings["WIFI_SSID"]') == []
    assert said("import ota\n", "WIFI_SSID", "WIFI_PASSWORD") == []


def test_what_nobody_uses_is_told_where_it_is_declared() -> None:
    assert said('import ota\nx = ota.settings["OTHER"]', "OTHER", "PERIOD_S", "PIN") == [
        "kiln.toml:4 the setting PERIOD_S is declared and used nowhere",
        "kiln.toml:7 the setting PIN is declared and used nowhere",
    ]


@pytest.mark.parametrize(
    "code",
    [
        "import ota\nfor name in ota.settings: print(name)",
        "import ota\nstart(ota.settings)",
        "from ota import settings\nx = settings[name]",
        "x = (",
    ],
)
def test_where_any_setting_may_be_meant_none_is_called_unused(code: str) -> None:
    assert said(code, "PERIOD_S") == []


def test_what_another_board_uses_is_used() -> None:
    overlay = {"boards/pico/pins.py": b'import ota\nPIN = ota.settings["PIN"]\n'}

    assert said("import ota\n", "PIN", more=overlay) == []


def test_a_unit_reads_its_settings_from_the_client() -> None:
    code = "from pepeunit_micropython_client.client import PepeunitClient\nclient = PepeunitClient()\n"
    code += "pin = client.settings.PIN\nprint(client.settings.PERIOD, self.client.settings.PU_DOMAIN)\n"

    assert said(code, "PIN", "PU_DOMAIN", layout="pepeunit") == [
        'src/main.py:4 the setting PERIOD is used here and not declared: add "PERIOD" to env_example.json'
    ]
    assert said("x = 1", "PIN", "PU_DOMAIN", layout="pepeunit") == [
        "env_example.json:2 the setting PIN is declared and used nowhere"
    ]
    assert said("x = getattr(client.settings, name)", "PIN", layout="pepeunit") == []
