"""A board that enrols itself with a code: what it believes, and what it leaves behind. The service is played."""

import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from ota import claim, hal, poll
from ota.reason import RefusedError
from service.adapters.device_cipher import decrypt

CODE = "ABCDE-FGHJK-MNPQR-STVWX"
Answer = Generator[None, None, tuple[int, bytes]]
HAD = {"WIFI_SSID": "home", "WIFI_PASSWORD": "hunter2"}
BOARDS = list[claim.Claim]()
HOME = "http://192.168.1.2:8080"
SAID = {
    "v": 1,
    "id": "roof",
    "board": "unix",
    "repo": "local/blink",
    "base": "https://kiln.example",
    "mqtt": {"host": "kiln.example", "port": 1883},
    "settings": {"PERIOD_S": 5},
}


def derived(what: str, seed: bytes = b"", code: str = CODE) -> bytes:
    """As service/domain/claim.py."""
    key, text = code.replace("-", "").encode(), b"kiln claim 1 " + what.encode() + b"\0" + seed
    return hmac.digest(key, text, hashlib.sha256)


def answer(seed: bytes, said: Any = SAID, code: str = CODE) -> bytes:
    padder = PKCS7(128).padder()
    iv = b"i" * 16
    encryptor = Cipher(algorithms.AES(derived("answer", seed, code)), modes.CBC(iv)).encryptor()
    plain = padder.update(json.dumps(said).encode()) + padder.finalize()
    body = b"KILNA1\n" + iv + encryptor.update(plain) + encryptor.finalize()
    return body + hmac.digest(derived("answer mac", seed, code), body, hashlib.sha256)


class Service:
    """`ota.poll.fetch`: `reply` makes the answer to the seed."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.status = 200
        self.reply: Callable[[bytes], bytes] = answer

    def fetch(self, line: dict[str, Any], path: str, _limit: int, body: bytes, known: bool) -> Answer:
        assert (path, known) == ("/api/v1/claim", False)
        self.lines.append(line)
        self.asked.append(json.loads(body))
        yield
        if not self.status:
            raise RefusedError("download_failed", "no answer")
        return self.status, self.reply(bytes.fromhex(self.asked[-1]["seed"])) if self.status == 200 else b""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    monkeypatch.setattr(poll, "fetch", made.fetch)
    monkeypatch.setattr(claim.app, "forget", lambda *_: None)
    yield made
    while BOARDS:
        BOARDS.pop()._errand.close()  # or its end would come in the middle of another test


@pytest.fixture
def kiln(tmp_path: Path) -> Path:
    folder = tmp_path / "kiln"
    folder.mkdir()
    write(folder, {"code": CODE, "base": HOME})
    return folder


def write(folder: Path, said: dict[str, Any]) -> None:
    (folder / "claim.json").write_text(json.dumps(said))


def read(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / name).read_text()))


def files(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def claimed(folder: Path) -> claim.Claim:
    BOARDS.append(claim.Claim(str(folder.parent), read(folder, "claim.json")))
    return BOARDS[-1]


def test_a_board_becomes_the_device_that_the_service_says(kiln: Path, service: Service) -> None:
    (kiln / "settings.json").write_text('{"WIFI_SSID": "home", "WIFI_PASSWORD": "hunter2", "PERIOD_S": 1}')
    board = claimed(kiln)

    for _ in range(2):
        board.tick()

    seed = bytes.fromhex(service.asked[0]["seed"])
    proof = derived("proof", seed).hex()
    own = bytes.fromhex(service.asked[0].pop("own"))
    assert service.asked == [{"claim": derived("name").hex()[:24], "seed": seed.hex(), "proof": proof}]
    assert own[-32:] == hmac.digest(derived("own mac", seed), own[:-32], hashlib.sha256)
    assert json.loads(decrypt(derived("own", seed), own[:-32])) == HAD
    assert read(kiln, "device.json") == {
        "id": "roof",
        "board": "unix",
        "repo": "local/blink",
        "mqtt": {"host": "kiln.example", "port": 1883},
        "base": HOME,
        "recovery": "https://kiln.example",
        "tls": {},
        "redirects": [],
        "token": derived("token", seed).hex(),
        "key": derived("key", seed).hex(),
    }
    assert read(kiln, "settings.json") == {**HAD, "PERIOD_S": 5}
    assert sorted(files(kiln)) == ["device.json", "settings.json"]
    assert board.done


def test_the_seed_is_on_flash_before_it_is_sent_and_stays_the_same(kiln: Path, service: Service) -> None:
    first = claimed(kiln)
    assert service.asked == []
    kept = read(kiln, "claim.json")["seed"]
    service.status = 0
    first.tick()
    first.tick()

    second = claimed(kiln)
    second.tick()

    assert [each["seed"] for each in service.asked] == [kept, kept]
    assert len({claimed(each)._kept["seed"] for each in (kiln, other_board(kiln))}) == 2


def other_board(kiln: Path) -> Path:
    folder = kiln.parent / "other" / "kiln"
    folder.mkdir(parents=True)
    write(folder, {"code": CODE, "base": HOME})
    return folder


def spoilt(raw: bytes) -> dict[str, bytes]:
    found = {
        f"bit {at}": raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in (0, 7, 23, len(raw) // 2, -1 % len(raw))
    }
    cut = {f"first {count}": raw[:count] for count in (0, 6, 55, 70, len(raw) - 16, len(raw) - 1)}
    return {**found, **cut, "longer": raw + b"\0" * 16}


FORGED: dict[str, Callable[[bytes], bytes]] = {
    "by another code": lambda seed: answer(seed, code="00000-00000-00000-00000"),
    "to another board": lambda _seed: answer(b"o" * 32),
    "no JSON object": lambda seed: answer(seed, "roof"),
    "without a name": lambda seed: answer(seed, {**SAID, "id": None, "mqtt": {}}),
    "without settings": lambda seed: answer(seed, {name: value for name, value in SAID.items() if name != "settings"}),
}


@pytest.mark.parametrize("name", [*FORGED, *spoilt(answer(b"s" * 32))])
def test_an_answer_by_who_has_not_the_code_leaves_no_trace(kiln: Path, service: Service, name: str) -> None:
    service.reply = FORGED[name] if name in FORGED else lambda seed: spoilt(answer(seed))[name]
    board = claimed(kiln)
    before = files(kiln)

    for _ in range(4):
        board.tick()

    assert files(kiln) == before
    assert (board.done, len(service.asked)) == (False, 1)


@pytest.mark.parametrize(("status", "said"), [(404, "wrong or has expired"), (409, "another board"), (429, "HTTP 429")])
def test_a_refusal_is_told_and_tried_again_later_and_later(
    kiln: Path, service: Service, monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    now, told = [0], list[str]()
    monkeypatch.setattr(hal, "ticks_ms", lambda: now[0])
    monkeypatch.setattr(hal, "jitter", lambda limit: 0)
    monkeypatch.setattr(hal, "log", lambda *words: told.append(" ".join(map(str, words))))
    service.status = status
    board = claimed(kiln)
    times = []
    for _ in range(20_000):
        asked = len(service.asked)
        board.tick()
        if len(service.asked) > asked:
            times.append(now[0] // 1000)
        now[0] += 1000

    assert said in told[0]
    waits = [later - before for before, later in itertools.pairwise(times)]
    assert waits[0] < waits[1] < waits[2] < max(waits) <= 902
    assert len(times) < 40
    service.status = 200
    for _ in range(1000):
        board.tick()
        now[0] += 1000
        if board.done:
            break
    assert (kiln / "device.json").exists()


def test_a_board_with_an_identity_or_without_a_code_asks_nobody(
    kiln: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim.Claim, "wait", lambda _self: None)
    root = str(kiln.parent)
    assert claim.begin(root) is not None
    for wrong in ({}, {"code": "x", "base": HOME}, {"code": 5, "base": HOME}):
        write(kiln, wrong)
        assert claim.begin(root) is None
    (kiln / "claim.json").write_text("{")
    assert claim.begin(root) is None
    (kiln / "claim.json").unlink()
    assert claim.begin(root) is None
    write(kiln, {"code": CODE, "base": HOME})
    (kiln / "device.json").write_text("damaged")
    assert claim.begin(root) is None
    assert service.asked == []


def test_it_restarts_when_the_application_lets_it(
    kiln: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts = list[int]()
    monkeypatch.setattr(hal, "reset", lambda: restarts.append(1))
    board = claimed(kiln)
    board.busy = True
    board.unhealthy("x")
    for _ in range(5):
        board.tick()
    assert (board.done, restarts) == (True, [])

    board.busy = False
    board.tick()

    assert restarts == [1]
