"""What our client takes from an API that is not GitHub, or not itself: every answer ends in one of our errors."""

import datetime
import ipaddress
import json
import pathlib
import ssl
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from service.adapters.clock import SystemClock
from service.adapters.forges import github_transport
from service.adapters.forges.github_api import GitHubApi
from service.domain.errors import ForgeError, ForgeRefusedError
from service.domain.mark import MarkState
from service.forge import HookTarget
from tests.contract.github_recordings import Player, Told, playing
from tests.contract.github_stage import Stage, app_connection, mark, record, token_connection
from tests.fakes.clock import StoppedClock

SHA = "a" * 40
NOW = mark(SHA).started_at


class Stubborn(Player):
    """Answers everything alike."""

    def __init__(self, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
        super().__init__()
        self.told: Told = (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)

    def answer(self, method: str, path: str, body: bytes) -> Told:
        return self.told


def api(player: Player) -> GitHubApi:
    connection = token_connection(player.host, "a token of somebody")
    return GitHubApi(connection, record(connection), StoppedClock(NOW))


@pytest.fixture
def stubborn() -> Iterator[Stubborn]:
    player = Stubborn()
    with playing(player):
        yield player


BODIES = (
    b"",
    b"null",
    b"[]",
    b"3",
    b"<html>a proxy's page</html>",
    b"{}",
    b'{"id": "x"}',
    b'{"id": null}',
    b"\xff\xfe",
    b'{"id": 1, "full_name": "acme/blink"}',
    b"[" * 200000,
)


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_an_answer_that_is_not_of_githubs_format_passes(stubborn: Stubborn, body: bytes) -> None:
    stubborn.told = (200, {}, body)
    target = HookTarget(url="http://kiln.lan/hooks/github/acme/blink", secret="s" * 20)
    calls: list[Callable[[], object]] = [
        lambda: api(stubborn).describe(),
        lambda: api(stubborn).ensure_hook(target, ""),
        lambda: api(stubborn).ensure_hook(target, "1"),
        lambda: api(stubborn).check_hook(target, "1"),
        lambda: api(stubborn).changed_paths(SHA, "b" * 40),
    ]
    for call in calls:
        with pytest.raises(ForgeError, match=r"its answer is not of the format|did not repair"):
            call()


def test_an_answer_over_the_limit_is_not_read_to_its_end(stubborn: Stubborn) -> None:
    stubborn.told = (200, {}, b" " * (github_transport.MAX_ANSWER_BYTES + 1))
    with pytest.raises(ForgeError, match="GitHub's answer is over 32 MiB"):
        api(stubborn).describe()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_token_goes_to_no_other_host(stubborn: Stubborn, status: int) -> None:
    with playing(other := Stubborn()):
        for place in (f"http://{other.host}/api/v3/x", f"//{other.host}/x", f"http://{stubborn.host}@{other.host}/x"):
            stubborn.told = (status, {"Location": place}, b"{}")
            with pytest.raises(ForgeRefusedError, match="redirects to another host"):
                api(stubborn).describe()
            with pytest.raises(ForgeRefusedError, match="redirects to another host"):
                api(stubborn).put_mark(mark(SHA), "")
    assert other.asked == []


def test_redirects_in_a_circle_end(stubborn: Stubborn) -> None:
    stubborn.told = (301, {"Location": "/api/v3/repos/acme/blink"}, b"{}")
    with pytest.raises(ForgeError, match="redirects more than 3 times"):
        api(stubborn).describe()
    assert len(stubborn.asked) == 4


def test_an_answer_that_is_still_being_prepared_is_not_waited_for(stubborn: Stubborn) -> None:
    stubborn.told = (202, {}, b"{}")
    with pytest.raises(ForgeError, match="still preparing") as caught:
        api(stubborn).describe()
    assert caught.value.retry_after_s == 60
    assert len(stubborn.asked) == 1


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [
        (429, {"Retry-After": "12"}, 12),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60),
        (429, {}, 60),
        (403, {"Retry-After": "0"}, 1),
        (403, {"Retry-After": "999999999"}, 86400),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 300)}, 300),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, 1),
        (403, {"X-RateLimit-Remaining": "0"}, 60),
        (500, {"Retry-After": "5"}, 5),
        (503, {}, None),
        (408, {}, None),
    ],
    ids=range(11),
)
def test_how_long_to_wait(stubborn: Stubborn, status: int, headers: dict[str, str], wait_s: int | None) -> None:
    stubborn.told = (status, headers, b'{"message": "no"}')
    with pytest.raises(ForgeError) as caught:
        api(stubborn).unchanged("")
    assert caught.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "give it a new token or key"),
        (403, "the token of mine needs the right Commit statuses: read and write (statuses=write)"),
        (404, "the token of mine may not see it"),
        (410, "gone or switched off there"),
        (422, "it answers 422; it says: no"),
        (451, "it answers 451"),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else None,
)
def test_what_is_refused_for_good_says_what_to_fix(stubborn: Stubborn, status: int, said: str) -> None:
    stubborn.told = (status, {"X-Accepted-GitHub-Permissions": "statuses=write"}, b'{"message": "no"}')
    with pytest.raises(ForgeRefusedError) as caught:
        api(stubborn).put_mark(mark(SHA, MarkState.SUCCESS), "")
    assert str(caught.value).startswith("GitHub did not show the commit status kiln of acme/blink: ")
    assert said in str(caught.value)


def test_a_secret_that_an_answer_repeats_is_not_passed_on(stubborn: Stubborn) -> None:
    target = HookTarget(url="http://kiln.lan/", secret="the secret of both")
    words = f"bad: {target.secret} and a token of somebody\x1b[2J and\nmore {'x' * 500}"
    stubborn.told = (422, {}, json.dumps({"message": words}).encode())
    with pytest.raises(ForgeRefusedError) as caught:
        api(stubborn).ensure_hook(target, "")
    assert str(caught.value).endswith("it says: bad: … and … [2J and")


@pytest.mark.parametrize(
    "token", ["", "two words\n", "ж", "x" * (16 << 10 | 1)], ids=["empty", "lines", "wide", "long"]
)
def test_an_installation_token_that_could_be_no_header_is_refused(github: Stage, token: str) -> None:
    class Giver(Player):
        def answer(self, method: str, path: str, body: bytes) -> Told:
            if path.endswith("/installation"):
                return 200, {}, b'{"id": 1}'
            return 201, {}, json.dumps({"token": token, "expires_at": "2026-05-04T04:02:01Z"}).encode()

    with playing(player := Giver()):
        connection = app_connection(player.host, github.github.create_app("Kiln"))
        with pytest.raises(ForgeError, match="not of the format"):
            GitHubApi(connection, record(connection), StoppedClock(NOW)).describe()


def test_a_certificate_of_nobody_is_not_trusted(tmp_path: pathlib.Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = SystemClock().now()
    until = now + datetime.timedelta(days=1)
    draft = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    draft = draft.serial_number(1).not_valid_before(now).not_valid_after(until)
    certificate = draft.add_extension(address, critical=False).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (tmp_path / "both.pem").write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")

    with playing(player := Stubborn(), context):
        connection = token_connection(player.host, "t", scheme="https")
        with pytest.raises(ForgeError, match="its TLS certificate cannot be verified"):
            GitHubApi(connection, record(connection), StoppedClock(NOW)).describe()
    assert player.asked == []
