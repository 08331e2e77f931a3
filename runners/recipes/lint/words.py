"""What the name of a value, and the value itself, say about it: a password, a token, the address of a broker."""

import enum
import ipaddress
import re

from runners.contract.pepeunit import LAYOUT

MAX_VALUE_CHARS = 200  # longer text is no password, and is not looked at


class Kind(enum.Enum):
    """What is written in a file that belongs to one device. The value is how a sentence names it."""

    NETWORK = "the name of a Wi-Fi network"
    PASSWORD = "a password"  # noqa: S105
    TOKEN = "a token or key"  # noqa: S105
    BROKER = "the address of a broker"
    PRIVATE = "an address of a private network"
    HOST = "the address of a server"


MIN_PASSWORD_CHARS, MIN_TOKEN_CHARS = 3, 8
MIN_NETWORK_CHARS = 8  # of WPA

_PASSWORDS = frozenset({"password", "passwd", "passphrase", "pwd", "pw", "psk", "wifipass", "wifipw"})
_TOKENS = frozenset({"token", "secret", "apikey"})
_KEY_OF = frozenset({"api", "auth", "access", "private", "secret", "encrypt", "encryption", "aes", "hmac"})
_BROKERS = frozenset({"broker", "mqtt"})
_HOSTS = frozenset({"host", "hostname", "server", "broker", "addr", "address", "ip", "url", "uri"})
# "password_topic", "token_file", "ssid_label": the name of something else that has to do with it.
# fmt: off
_ABOUT = frozenset({
    "count", "endpoint", "error", "errors", "field", "file", "filename", "form", "format", "header", "hint",
    "id", "input", "key", "label", "len", "length", "max", "message", "method", "min", "msg", "name", "param", "path",
    "placeholder", "prefix", "prompt", "regex", "setting", "size", "state", "status", "text", "title", "topic",
    "type",
})
# fmt: on
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PLACEHOLDER = re.compile(
    r"<.*>|\{.*\}|%s|\$\w*|(.)\1*|your.*|(enter|insert|replace)[ _-].*|change[ _-]?me|example|none|null|todo|tbd",
    re.IGNORECASE,
)
_CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")  # the name of a setting, not its value
_HOST = re.compile(r"(?=.{4,200}\Z)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
_TOP = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{1,59}")  # the last part of a host's name
_URL = re.compile(r"(?:https?|wss?|mqtts?|tcp|coap)://(?:[^@/\s]{1,100}@)?([A-Za-z0-9.-]{1,100})", re.IGNORECASE)
_PRIVATE = tuple(ipaddress.ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_OWN = frozenset({"192.168.4.1"})  # of every ESP that is an access point itself
_LOCAL = (".local", ".lan", ".home", ".internal")
_NETS = frozenset({"wifi", "wlan"})
_NET_ENDS = _NETS | {"network", "networks", "credentials", "creds"}
_URL_ENDS = frozenset({"url", "uri"})
# fmt: off
# Text with dots that is a file.
_FILE_ENDS = frozenset({
    "bin", "cfg", "conf", "crt", "css", "csv", "db", "der", "htm", "html", "ini", "jpg", "js", "json", "key", "log",
    "mpy", "pem", "png", "py", "svg", "toml", "txt", "xml", "yaml", "yml",
})
_EXAMPLES = frozenset({"example.com", "example.net", "example.org"})
# Right everywhere: services for anybody, and their subdomains.
_PUBLIC = frozenset({
    "adafruit.com", "cloudflare.com", "github.com", "githubusercontent.com", "gitlab.com", "google.com",
    "googleapis.com", "micropython.org", "ntp.org", "nist.gov", "open-meteo.com", "openweathermap.org",
    "telegram.org", "thingspeak.com", "timeapi.io", "w3.org", "worldtimeapi.org",
})
# fmt: on


def judge(name: str, value: str) -> Kind | None:
    """What `value` is that is assigned to `name`, or None when it may stand in a file."""
    if not is_worth_a_look(value):
        return None
    words = [each.lower() for each in _WORD.findall(name)]
    if (kind := _by_name(words)) and _fits(kind, value):
        return kind
    if not _BROKERS.isdisjoint(words) and words[-1] in _HOSTS and is_address(value):
        return Kind.BROKER
    if words and words[-1] in _HOSTS - {"ip", "addr", "address"} and is_private(value):
        return Kind.PRIVATE
    return url(value) or (Kind.HOST if _holds_host(words) and is_host(value) else None)


def is_network(name: str) -> bool:
    """Whether a value of this name, a pair of texts, is a network and its password: `WIFI = ("home", "…")`."""
    words = [each.lower() for each in _WORD.findall(name)]
    return not _NETS.isdisjoint(words) and words[-1] in _NET_ENDS


def is_password(value: str) -> bool:
    """Whether it can be the password of a network: eight characters at least, and no address."""
    return (
        is_worth_a_look(value)
        and len(value) >= MIN_NETWORK_CHARS
        and _fits(Kind.PASSWORD, value)
        and not is_address(value)
    )


def is_worth_a_look(value: str) -> bool:
    """Whether text could be somebody's own value: not empty, and not what an example leaves to be filled in."""
    plain = value.strip()
    return bool(plain) and len(value) <= MAX_VALUE_CHARS and not _PLACEHOLDER.fullmatch(plain)


def is_address(value: str) -> bool:
    """Whether it names another machine, by name or number."""
    host = _host_in(value)
    if not _HOST.fullmatch(host) or host.startswith("127."):
        return False
    return host not in _OWN | _EXAMPLES and host != "0.0.0.0"  # noqa: S104


def is_private(value: str) -> bool:
    """Whether it is an address that is right in one house only."""
    host = _host_in(value)
    if host.endswith(_LOCAL):
        return _HOST.fullmatch(host) is not None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return host not in _OWN and address.version == 4 and any(address in each for each in _PRIVATE)


def is_host(value: str) -> bool:
    """Whether it is the name of a machine that is not there for everybody."""
    host = _host_in(value)
    end = host.rpartition(".")[2]
    if not is_address(value) or not _TOP.fullmatch(end) or end in _FILE_ENDS:
        return False
    return not any(host == each or host.endswith(f".{each}") for each in _PUBLIC)


def url(value: str) -> Kind | None:
    """PRIVATE for a URL of a private network."""
    found = _URL.match(value.strip())
    return Kind.PRIVATE if found and is_private(found[1]) else None


def sentence(kind: Kind, layout: str) -> str:
    """What is wrong, and what to do about it. It never holds the value."""
    is_secret = kind in (Kind.PASSWORD, Kind.TOKEN)
    why = "whoever reads the repository has it" if is_secret else "it is right for one place only"
    if layout == LAYOUT:
        what = "name it in env_example.json, and read it from client.settings"
    else:
        typed = 'with type = "secret"' if is_secret else "as a setting"
        what = f"declare it {typed} under [settings] in kiln.toml, and read it from ota.settings"
    return f"{kind.value} is written here, and {why}: {what}"


def _holds_host(words: list[str]) -> bool:
    """`DB_HOST`, `server`, `API_URL`. What is called `url` and no more is mostly of a service for anybody."""
    return bool(words) and words[-1] in _HOSTS and (words[-1] not in _URL_ENDS or len(words) > 1)


def _by_name(words: list[str]) -> Kind | None:
    if not words or words[-1] in (_ABOUT | {"url", "uri"}) - {"key"}:
        return None
    known = set(words)
    if words[-1] == "key":
        is_key = len(words) > 1 and words[-2] in _KEY_OF
        return Kind.TOKEN if is_key else (Kind.PASSWORD if known & {"wifi", "wlan", "wpa"} else None)
    if "ssid" in (words[-1], *words[-2:-1]):  # "ssid", "wifi_ssid", "ssid2"; the board's own network is no secret
        return Kind.NETWORK if "ap" not in known else None
    if known & _PASSWORDS or words[-1] == "pass" or words[-1].endswith("password"):
        return Kind.PASSWORD
    return Kind.TOKEN if known & _TOKENS else None


def _fits(kind: Kind, value: str) -> bool:
    """Whether it looks like one: not the name of a setting, not one word of a sentence."""
    match kind:
        case Kind.NETWORK:
            return True
        case Kind.PASSWORD:
            return len(value) >= MIN_PASSWORD_CHARS and not _CONSTANT.fullmatch(value)
        case _:
            return len(value) >= MIN_TOKEN_CHARS and " " not in value and not _CONSTANT.fullmatch(value)


def _host_in(value: str) -> str:
    plain = value.strip().lower()
    found = _URL.match(plain)
    return found[1] if found else re.sub(r":\d{1,5}\Z", "", plain)
