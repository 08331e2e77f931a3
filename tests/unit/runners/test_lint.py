"""Values that belong into settings are found, and little else is."""

import pathlib
import subprocess
import sys
import time

import pytest
from hypothesis import given, strategies as st

from runners.contract.job import MAX_WARNINGS, Annotation, Options
from runners.recipes.lint import look as looking
from runners.recipes.lint.look import MAX_FILE_BYTES, MAX_TOTAL_BYTES, look
from runners.recipes.lint.python import MAX_PYTHON_BYTES, parse

ROOT = pathlib.Path(__file__).parents[3]
SECRET = "correct-horse"
# Made up, and in two parts, so that scanners of this repository stay calm.
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
AWS = "AKIA" + "QWERTYUIOPASDFGH"
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJ1dWlkIjoiMSJ9.c2lnbmF0dXJl"
TELEGRAM = "123456789:" + "AAabcdefghijklmnopqrstuvwxyz0123456"
KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"


def warned(path: str, text: str, options: Options | None = None) -> list[Annotation]:
    files: dict[str, bytes] = {path: text.encode()}
    return list(look(files, dict(files), options or Options()))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f'wlan.connect("home", "{SECRET}")', "a password"),
        ('wlan.connect("ssid", "password")', "a password"),
        (f'network.WLAN(network.STA_IF).connect(SSID, "{SECRET}")', "a password"),
        ('wlan.connect("home", "")', "the name of a Wi-Fi network"),
        (f'wlan.connect(ssid=NAME, key="x", password="{SECRET}")', "a password"),
        (f'PASSWORD = "{SECRET}"', "a password"),
        (f"wifi_password = '{SECRET}'", "a password"),
        (f'WIFI_PASS = const("{SECRET}")', "a password"),
        (f'wifiPassword = "{SECRET}"', "a password"),
        (f'WIFI_KEY: str = "{SECRET}"', "a password"),
        (f'config["wifi_pw"] = "{SECRET}"', "a password"),
        (f'NET = {{"ssid": NAME, "password": "{SECRET}"}}', "a password"),
        (f'def join(name, password="{SECRET}"):\n    pass', "a password"),
        (f'def join(*, password="{SECRET}"):\n    pass', "a password"),
        (f'self.psk = "{SECRET}"', "a password"),
        ('SSID = "Rosa-2G"', "the name of a Wi-Fi network"),
        ('WIFI_SSID2 = "Rosa-2G"', "the name of a Wi-Fi network"),
        ('ssid, name = "Rosa-2G", 1', "the name of a Wi-Fi network"),
        ('API_KEY = "d41d8cd98f00b204"', "a token or key"),
        ('AUTH_TOKEN = "d41d8cd98f00b204"', "a token or key"),
        ('headers = {"x-auth-token": "d41d8cd98f00b204"}', "a token or key"),
        (f'x = "{GITHUB}"', "a token or key"),
        (f'send("{AWS}")', "a token or key"),
        (f'x = ["{JWT}"]', "a token or key"),
        (f'BOT = "{TELEGRAM}"', "a token or key"),
        (f'CA = """{KEY}\nabc"""', "a token or key"),
        ('url = "mqtt://rosa:' + SECRET + '@example.com"', "a password"),
        ('client = MQTTClient("id", "192.168.1.5")', "the address of a broker"),
        ('client = MQTTClient("id", "broker.example.com", 1883)', "the address of a broker"),
        ('client = simple.MQTTClient(client_id="id", server="broker.example.com")', "the address of a broker"),
        ('client.connect("broker.example.com", 1883)', "the address of a broker"),
        ('MQTT_SERVER = "10.0.0.7"', "the address of a broker"),
        ('MQTT_BROKER = "broker.example.com:1883"', "the address of a broker"),
        ('get("http://192.168.1.10/sensor")', "an address of a private network"),
        ('URL = "http://nas.local:8080/x"', "an address of a private network"),
        ('sock.connect(("172.16.0.9", 80))', "an address of a private network"),
        ('socket.getaddrinfo("10.1.2.3", 80)', "an address of a private network"),
        ('config["server"] = "192.168.1.5"', "an address of a private network"),
        ('HOST = "my.server.example.net"', "the address of a server"),
        ('SERVER = "my.server.example.net:8086"', "the address of a server"),
        ('DB_HOST = "db.mycompany.com"', "the address of a server"),
        ('server_address = "influx.mycompany.com"', "the address of a server"),
        ('API_URL = "https://api.mycompany.com/v1"', "the address of a server"),
        ('def post(data, server="influx.mycompany.com"):\n    pass', "the address of a server"),
        ('s.connect(("my.server.example.net", 1883))', "the address of a server"),
        ('socket.getaddrinfo("db.mycompany.com", 80)', "the address of a server"),
        ('asyncio.open_connection("db.mycompany.com", 80)', "the address of a server"),
        (f'WIFI = ("HomeNet", "{SECRET}")', "a password"),
        (f'WIFI_NETWORKS = [["HomeNet", "{SECRET}"], ["", ""]]', "a password"),
    ],
)
def test_what_belongs_to_one_device_is_named_with_its_line(text: str, what: str) -> None:
    found = warned("src/net.py", f"import network\n\n{text}\n")

    assert found, text
    assert (found[0].path, found[0].line) == ("src/net.py", 3)
    assert found[0].text.startswith(f"{what} is written here, and ")
    assert "[settings] in kiln.toml" in found[0].text
    assert not any(
        secret in each.text
        for each in found
        for secret in (SECRET, "Rosa", "mycompany", "my.server", "192.168", "d41d", GITHUB)
    )


@pytest.mark.parametrize(
    "text",
    [
        'wlan.connect(ota.settings["WIFI_SSID"], ota.settings["WIFI_PASSWORD"])',
        'wlan.connect("", "")',
        'wlan.connect("<ssid>", "<password>")',
        'PASSWORD = ""\nSSID = None',
        'PASSWORD = "your-password"\nSSID = "your ssid"',
        'PASSWORD = "changeme"\nTOKEN = "xxxxxxxx"',
        'PASSWORD = "WIFI_PASSWORD"  # the name of a setting',
        'PASSWORD_TOPIC = "home/password"\npassword_file = "secret.txt"\nPASSWORD_LENGTH = "8"',
        'token_type = "bearer_token"\nssid_label = "Network"',
        'message = "wrong password"\nprint("password: ", end="")',
        'token = "+"\ntoken = "NUMBER"\ntoken = "end of line"',
        'key = "temperature_celsius"\ncache_key = "temperature_celsius"',
        'monkey = "gorilla_in_a_tree"\ncompass = "north-east"\nbypass = "bypass_valve"',
        'ap.config(essid="Lamp-Setup")\nAP_SSID = "Lamp-Setup"',
        'wlan.ifconfig(("192.168.1.50", "255.255.255.0", "192.168.1.1", "8.8.8.8"))',
        'ip = "192.168.1.50"\nHOST = "0.0.0.0"\nhost = "127.0.0.1"\nserver = "192.168.4.1"',
        'get("https://api.open-meteo.com/v1/forecast")',
        'ntptime.host = "pool.ntp.org"',
        'NTP_HOST = "de.pool.ntp.org"\nTIME_SERVER = "time.google.com"\nMIP_URL = "https://micropython.org/pi/v2"',
        'HOST = "localhost"\nHOST = "example.com"\nMQTT_HOST = "example.com"\nAPI_URL = "https://example.org/"',
        'HOST = "DB_HOST"\nserver = "<your server>"\nDB_HOST = "your.server.com"\nhost = settings["DB_HOST"]',
        'server = "server.py"\nBASE_URL = "/index.html"\npage_url = "index.html"\nhost = "1.2.3"\ni2c_address = "0x76"',
        'url = "https://api.mycompany.com/v1"  # mostly a service for anybody',
        'DNS_SERVER = "8.8.8.8"',
        's.connect(("localhost", 80))\ns.connect((HOST, 80))\nlog("db.mycompany.com", 80)',
        'WIFI = ("", "")\nWIFI = ("<ssid>", "<password>")\nWIFI = ("your-ssid", "your-password")',
        'WIFI = (SSID, PASSWORD)\nWIFI = ("WIFI_SSID", "WIFI_PASSWORD")',
        'WIFI_MODES = ("station", "accesspoint")\nNETWORK = ("192.168.1.50", "255.255.255.0")',
        'print("open http://192.168.4.1 in a browser")',
        'page = "http://192.168.4.1/"',
        'sock.bind(("0.0.0.0", 80))',
        'uart.connect("A", 1)',
        'MQTT_TOPIC = "home/lamp.state"\nMQTT_CLIENT_ID = "lamp.kitchen"',
        'client = MQTTClient(ID, settings.get("MQTT_HOST"))',
        'CRC = b"\\x00\\x31\\x62"\nTABLE = "0123456789abcdef0123456789abcdef0123456789abcdef"',
        'SHA = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
        'version = "1.2.3"\nmqtt_version = "3.1.1"',
        '"""See https://user:password@host/ for how an address holds a password."""',
        'x = "\\d"  # an escape that CPython warns about\n',
        'if password == "":\n    raise ValueError("password: empty")',
    ],
)
def test_what_is_fine_is_left_alone(text: str) -> None:
    assert [f"{each.line}: {each.text}" for each in warned("src/main.py", text)] == []


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("config.json", f'{{\n "wifi": {{"ssid": ""}},\n "password": "{SECRET}"\n}}', 3),
        ("config.json", '{\n "ssid": "Rosa-2G"\n}', 2),
        ("config.json", '{\n "mqtt_host": "192.168.1.5",\n}', 2),
        ("secrets.toml", f'# mine\napi_key = "{SECRET}"', 2),
        ("wifi.ini", f"[wifi]\npsk = {SECRET}", 2),
        ("page.html", f"<script>\nconst x = '{GITHUB}'", 2),
    ],
)
def test_files_of_values_are_looked_at_too(path: str, text: str, line: int) -> None:
    assert [(each.path, each.line) for each in warned(path, text)] == [(path, line)]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("config.json", b'{"password": "", "ssid": "<your network>", "topic": "a/b"}'),
        ("form.html", b'<input type="password" name="password" placeholder="Password">'),
        ("x.bin", b"\x00password = 'correct-horse'"),
        ("latin.py", b"PASSWORD = 'caf\xe9-correct'"),
    ],
)
def test_files_without_values_and_files_that_are_no_text_are_left_alone(path: str, content: bytes) -> None:
    assert look({path: content}, {path: content}, Options()) == ()


def test_our_own_firmware_is_clean() -> None:
    for folder in ("examples/blink", "examples/greenhouse", "examples/doorbell", "device", "tests/samples/firmware"):
        root = ROOT / folder
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        said = [f"{each.path}:{each.line} {each.text}" for each in look(files, dict(files), Options())]
        assert [each for each in said if "the setting" not in each] == [], folder


def test_one_line_is_told_once_and_all_of_it_at_most_so_often() -> None:
    once = warned("a.py", f'PASSWORD = "{GITHUB}"; SSID = "Rosa-2G"')
    often = warned("a.py", f'PASSWORD = "{SECRET}"\n' * 500)

    assert [each.text.partition(" is ")[0] for each in once] == ["a password"]
    assert [each.line for each in often] == list(range(1, MAX_WARNINGS + 1))


def test_a_unit_of_pepeunit_is_told_where_its_settings_are() -> None:
    found = warned("a.py", f'PASSWORD = "{SECRET}"', Options(layout="pepeunit"))

    assert found[0].text.endswith("name it in env_example.json, and read it from client.settings")


def test_a_real_key_in_the_example_of_a_units_settings_is_named() -> None:
    files = {"main.py": b"", "env_example.json": f'{{\n"PUC_WIFI_PASS": "password",\n"TOKEN": "{JWT}"\n}}'.encode()}

    (found,) = look({"main.py": b""}, dict(files), Options(layout="pepeunit", settings=()))

    assert (found.path, found.line) == ("env_example.json", 3)
    assert look({"main.py": b""}, dict(files), Options()) == ()


def test_source_that_cannot_be_parsed_is_looked_at_by_lines_only() -> None:
    assert [each.line for each in warned("a.py", f'def f(:\nx = "{GITHUB}"\nPASSWORD = "{SECRET}"')] == [2]


WORDS = ["password", "SSID", "=", '"', "'", ":", "ota.settings", "[", "]", "(", ")", "connect", "10.0.0.1", "http://"]


@given(
    st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=12), st.sampled_from(["a.py", "a.json", "a.txt"])
)
def test_no_text_makes_it_fail(parts: list[str], path: str) -> None:
    files = {path: " ".join(parts).encode("utf-8", "replace")}

    found = look(
        files, dict(files), Options(settings=("X",), layout="pepeunit" if len(parts) % 2 else "kiln"), main=path
    )

    assert all(each.path and each.line > 0 and each.text for each in found)


BOMBS = {
    "brackets": "x = " + "(" * 5000 + ")" * 5000,
    "minus": "x = " + "-" * 60000 + "1",
    "not": "x = " + "not " * 30000 + "1",
    "plus": "x = " + "+".join(["1"] * 60000),
    "attributes": "x = a" + ".b" * 60000,
    "calls": "x = f" + "()" * 40000,
    "indents": "".join(" " * n + "if x:\n" for n in range(400)) + " " * 400 + "x",
    "elif": "if x: pass\n" + "elif x: pass\n" * 8000,
    "lambda": "x = " + "lambda: " * 15000 + "1",
    "number": "x = " + "9" * 100000,
    "fstring": "x = f'" + "{x}" * 40000 + "'",
    "nul": "x = 1\0",
    "power": "x = " + "**".join(["2"] * 30000),
}


def test_no_source_ends_the_process(tmp_path: pathlib.Path) -> None:
    """In a process of its own, for what is looked for is a crash of CPython."""
    for name, text in BOMBS.items():
        (tmp_path / name).write_text(text)
    code = (
        "import sys, pathlib\nfrom runners.recipes.lint.look import look\nfrom runners.contract.job import Options\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    look({'a.py': path.read_bytes()}, {}, Options())\n"
        "print('alive')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr[-2000:]


def test_large_source_is_not_parsed() -> None:
    assert parse(b"x = 1\n") is not None
    assert parse(b"#" * (MAX_PYTHON_BYTES + 1)) is None


HOSTILE = {
    "dots": "eyJ" + "a." * 240,
    "urls": "://a:" * 100,
    "quotes": "password" * 30 + "= '" + "a" * 200,
    "spaces": "password" + " " * 480,
    "aws": "awskey" * 80,
    "words": "secret_" * 70 + ": ",
    "slack": "xox" + "b-1" * 160,
    "npm": "//" + "/:_authToken=" * 38,
    "pair": "a" * 64 + ":" * 430,
    "zeros": "0" * 500,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_line_takes_long(name: str) -> None:
    text = f"{HOSTILE[name]}\n" * 40
    began = time.process_time()

    warned("a.json", text)

    whole_s = (time.process_time() - began) * MAX_TOTAL_BYTES / len(text)
    assert whole_s < 60, f"{whole_s:.0f} s for {MAX_TOTAL_BYTES} bytes of such lines"


def test_files_over_the_limits_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = f'PASSWORD = "{SECRET}"\n'.encode()
    assert look({"a.py": secret + b"#" * MAX_FILE_BYTES, "b.py": secret}, {}, Options())[0].path == "b.py"

    monkeypatch.setattr(looking, "MAX_TOTAL_BYTES", len(secret) + 1)
    assert [each.path for each in look({"a.py": secret, "b.py": secret}, {}, Options())] == ["a.py"]
