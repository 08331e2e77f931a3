"""The operator's settings: read once from the environment, frozen, passed on."""

import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from runners.contract.download import complaint_of_hosts, split_hosts
from runners.contract.job import Limits
from service.domain import home_assistant
from service.domain.errors import BadInputError
from service.domain.repository import is_host

PREFIX = "KILN_"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to
MIN_RECONCILE_S = 10
BROKERS = ("embedded", "mosquitto", "mosquitto-dynsec", "emqx")
MIN_EMQX_SECRET_CHARS = 32
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """docs/settings.md says what each is for; a test holds that page against this class."""

    data: pathlib.Path  # everything that Kiln keeps, when nothing else is set
    host: str = "127.0.0.1"
    port: int = 8080
    base_url: str = ""  # how browsers, runners and devices reach us; default http://<host>:<port>
    database_url: str = field(default="", repr=False)  # default: SQLite in `data`
    sealing_key: str = field(
        default="", repr=False
    )  # file:///path, or env:NAME= and what is in it; default: instance.json
    admin_token: str = field(default="", repr=False)  # default: made at first start, in `data`/admin.token
    broker: str = "embedded"  # one of BROKERS
    mqtt_host: str = "127.0.0.1"  # where the broker is, and where devices are told it is
    mqtt_port: int = 1883
    mqtt_listen: str = ""  # where the embedded broker listens; default: `host`
    mqtt_tls_port: int = 0  # where the broker speaks TLS, and devices are told to; 0: nowhere
    mqtt_cert: str = ""  # PEM files of the embedded broker's certificate chain and its key
    mqtt_key: str = ""
    mqtt_ca: str = ""  # a PEM file: who vouches for the broker, and then the service itself comes to the TLS port
    device_ca: str = ""  # a PEM file: who vouches for us to devices; default: `mqtt_ca`, where `base_url` is not https
    mqtt_password: str = field(default="", repr=False)  # of the service's user; default: made at first start
    mosquitto_folder: str = ""  # where Mosquitto's password and ACL files are
    emqx_secret: str = field(default="", repr=False)  # signs the tokens of devices; EMQX checks them by it
    emqx_token_days: int = 365
    emqx_api: str = ""  # its REST API, like http://emqx.lan:18083/api/v5
    emqx_api_key: str = ""
    emqx_api_secret: str = field(default="", repr=False)
    home_assistant: str = ""  # its discovery prefix: devices are shown there; empty: they are not
    home_assistant_password: str = field(default="", repr=False)  # of its user at the broker
    objects: str = "local"  # local | s3
    s3_endpoint: str = ""
    s3_bucket: str = "kiln"
    s3_key: str = ""
    s3_secret: str = field(default="", repr=False)
    s3_region: str = "us-east-1"
    firmware: str = ""  # the folder of base firmware for flash images; default: `data`/firmware
    source_ca: str = ""  # a PEM file: authorities that a repository's own host may be vouched for by
    dependency_hosts: str = ""  # `host` or `host:port`, by commas: may be private, and may speak plain HTTP
    runners: int = 1  # runner processes that `kiln serve` starts; 0 when they run elsewhere
    runner_jobs: int = 4  # containers at once in each of them
    runner_warm: int = 4  # containers of each build image that each of them starts ahead
    runtime: str = ""  # that containers are started by, runsc for one; default: the engine's own
    job_memory_mb: int = 512
    job_time_s: int = 300
    keep_history_days: int = 365  # what has ended: codes, devices of roll-outs, reports; 0: for ever
    reconcile_s: int = 900  # between two looks at the heads of a repository
    github_oauth_id: str = ""  # of an OAuth App: people sign in with GitHub
    github_oauth_secret: str = field(default="", repr=False)
    github_url: str = "https://github.com"
    gitlab_oauth_id: str = ""  # of an OAuth application: people sign in with GitLab
    gitlab_oauth_secret: str = field(default="", repr=False)
    gitlab_url: str = "https://gitlab.com"
    own_images: str = ""  # a TOML file: who may build in which image of the operator's own

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises: BadInputError naming the variable to fix."""
        values: dict[str, object] = {"data": pathlib.Path(".kiln").absolute()}
        key_is_in = variable_of(environment.get("KILN_SEALING_KEY", ""))
        for name, text in environment.items():
            if not name.startswith(PREFIX) or name == key_is_in:
                continue
            key = name.removeprefix(PREFIX).lower()
            known = cls.__dataclass_fields__.get(key)
            if known is None:
                raise BadInputError(f"{name} is not a setting of Kiln; see docs/settings.md")
            values[key] = _value(name, text, known.type)
        if key_is_in:
            values["sealing_key"] = f"env:{key_is_in}={environment.get(key_is_in, '')}"
        settings = cls(**values)  # type: ignore[arg-type]  # _value made each of its field's type
        settings.check()
        return settings

    def check(self) -> None:
        """Raises: BadInputError naming the variable to fix."""
        self._check_broker()
        if self.objects not in ("local", "s3"):
            raise BadInputError(f"KILN_OBJECTS is local or s3, not {self.objects!r}")
        if self.objects == "s3" and not (self.s3_endpoint and self.s3_key and self.s3_secret):
            raise BadInputError("KILN_OBJECTS=s3 needs KILN_S3_ENDPOINT, KILN_S3_KEY and KILN_S3_SECRET")
        if self.reconcile_s < MIN_RECONCILE_S:
            raise BadInputError(f"KILN_RECONCILE_S is at least {MIN_RECONCILE_S} seconds, not {self.reconcile_s}")
        if self.base_url and urlsplit(self.base_url).scheme not in ("http", "https"):
            raise BadInputError(f"KILN_BASE_URL is an http or https address, not {self.base_url!r}")

        self._check_key_place(self.sealing_key)
        self._check_hosts(self.trusted_hosts)
        for forge in ("github", "gitlab"):
            self._check_sign_in(f"{PREFIX}{forge.upper()}", *(getattr(self, f"{forge}_{n}") for n in _SIGN_IN))
        if self.host in EVERYWHERE and not self.base_url:
            raise BadInputError(f"KILN_HOST={self.host} needs KILN_BASE_URL, the address that devices and forges use")
        if self.host in EVERYWHERE and self.mqtt_host in LOOPBACK:
            raise BadInputError(f"KILN_HOST={self.host} needs KILN_MQTT_HOST, where devices find the broker")

    def _check_broker(self) -> None:
        if self.broker not in BROKERS:
            raise BadInputError(f"KILN_BROKER is {', '.join(BROKERS[:-1])} or {BROKERS[-1]}, not {self.broker!r}")
        if self.broker == "mosquitto" and not self.mosquitto_folder:
            raise BadInputError("KILN_BROKER=mosquitto needs KILN_MOSQUITTO_FOLDER, where its password file is")
        if self.broker == "emqx":
            self._check_emqx()
        if self.broker == "embedded" and self.mqtt_tls_port and not (self.mqtt_cert and self.mqtt_key):
            raise BadInputError("KILN_MQTT_TLS_PORT needs KILN_MQTT_CERT and KILN_MQTT_KEY, its PEM files")
        if bool(self.home_assistant) != bool(self.home_assistant_password):
            raise BadInputError("KILN_HOME_ASSISTANT and KILN_HOME_ASSISTANT_PASSWORD go together: set both or none")
        if self.home_assistant:
            home_assistant.prefix(self.home_assistant)
        if (self.mqtt_ca or self.mqtt_cert or self.mqtt_key) and not self.mqtt_tls_port:
            raise BadInputError("KILN_MQTT_CA, KILN_MQTT_CERT and KILN_MQTT_KEY need KILN_MQTT_TLS_PORT")

    @staticmethod
    def _check_key_place(place: str) -> None:
        if place and not _KEY_PLACE.fullmatch(place):  # it may be the key itself: not repeated
            raise BadInputError("KILN_SEALING_KEY is file:///path or env:NAME: where the key is, not the key")

    def _check_emqx(self) -> None:
        if len(self.emqx_secret) < MIN_EMQX_SECRET_CHARS:
            raise BadInputError(f"KILN_BROKER=emqx needs KILN_EMQX_SECRET, at least {MIN_EMQX_SECRET_CHARS} characters")
        if not self.emqx_token_days:
            raise BadInputError("KILN_EMQX_TOKEN_DAYS is at least 1")
        if self.emqx_api and urlsplit(self.emqx_api).scheme not in ("http", "https"):
            raise BadInputError(f"KILN_EMQX_API is an http or https address, not {self.emqx_api[:200]!r}")
        if self.emqx_api and not (self.emqx_api_key and self.emqx_api_secret):
            raise BadInputError("KILN_EMQX_API needs KILN_EMQX_API_KEY and KILN_EMQX_API_SECRET")

    @staticmethod
    def _check_hosts(hosts: tuple[str, ...]) -> None:
        if said := complaint_of_hosts(hosts):
            raise BadInputError(f"KILN_DEPENDENCY_HOSTS: {said}")

    @staticmethod
    def _check_sign_in(name: str, client_id: str, secret: str, url: str) -> None:
        if bool(client_id) != bool(secret):
            raise BadInputError(f"{name}_OAUTH_ID and {name}_OAUTH_SECRET go together: set both or none")
        if not is_root_address(url):
            raise BadInputError(f"{name}_URL is like https://git.example.org, without a path, not {url[:200]!r}")

    @property
    def url(self) -> str:
        return (self.base_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def device_authorities(self) -> tuple[str, str]:
        """The file that devices shall verify us by, and the one that may do where none is named; empty for none.

        A device has one authority for us and the broker, and who vouches for the broker need not vouch for an https
        address.
        """
        return self.device_ca, "" if self.url.startswith("https:") else self.mqtt_ca

    @property
    def sealing_variable(self) -> str:
        """The variable that holds the sealing key; empty when none does."""
        return variable_of(self.sealing_key)

    @property
    def trusted_hosts(self) -> tuple[str, ...]:
        return split_hosts(self.dependency_hosts)

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data / 'kiln.db'}"

    @property
    def firmware_folder(self) -> pathlib.Path:
        return pathlib.Path(self.firmware) if self.firmware else self.data / "firmware"

    @property
    def limits(self) -> Limits:
        return Limits(memory_bytes=self.job_memory_mb << 20, time_s=self.job_time_s)


_KEY_PLACE = re.compile(r"file:///[^\0]{1,500}|env:[A-Za-z_][A-Za-z0-9_]{0,100}=.*", re.DOTALL)


def variable_of(place: str) -> str:
    """The NAME of `env:NAME`, perhaps with what is in it; empty for another place of a key."""
    kind, _, name = place.partition("=")[0].partition(":")
    return name if kind == "env" else ""


_SIGN_IN = ("oauth_id", "oauth_secret", "url")


def is_root_address(text: str) -> bool:
    """An http or https address of a host alone, in lower case, perhaps with a port."""
    scheme, separator, host = text.rstrip("/").partition("://")
    return bool(separator) and scheme in ("http", "https") and is_host(host)


def _value(name: str, text: str, kind: object) -> object:
    if kind is int:
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise BadInputError(f"{name} is a number, not {text[:40]!r}")
        return int(text)
    return pathlib.Path(text).absolute() if kind is pathlib.Path else text
