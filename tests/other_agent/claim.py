"""How a folder with a code becomes a device (docs/ota.md: Claim)."""

import hashlib
import hmac
import json
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.other_agent.store import write
from tests.other_agent.trust import read_object
from tests.other_agent.web import NetworkError, Way, read_all, request

ANSWER_BYTES = 6144
MAGIC = b"KILNA1\n"
AGAIN_MOST_S = 900.0


class Code:
    """What both sides make of a code and a seed."""

    def __init__(self, code: str, seed: bytes) -> None:
        plain = re.sub(r"[\s-]", "", code.upper())
        self._key = plain.translate(str.maketrans("OIL", "011")).encode()
        self.seed = seed

    def derived(self, word: str, text: bytes) -> bytes:
        return hmac.digest(self._key, b"kiln claim 1 " + word.encode() + b"\0" + text, hashlib.sha256)

    def of_seed(self, word: str) -> bytes:
        return self.derived(word, self.seed)

    def closed(self, word: str, raw: bytes) -> bytes:
        padding, iv = PKCS7(128).padder(), os.urandom(16)
        seal = Cipher(algorithms.AES(self.of_seed(word)), modes.CBC(iv)).encryptor()
        body = iv + seal.update(padding.update(raw) + padding.finalize()) + seal.finalize()
        return body + hmac.digest(self.of_seed(f"{word} mac"), body, hashlib.sha256)

    def opened(self, word: str, raw: bytes) -> bytes:
        body, mac = raw[:-32], raw[-32:]
        if not hmac.compare_digest(mac, hmac.digest(self.of_seed(f"{word} mac"), body, hashlib.sha256)):
            raise NetworkError("the answer is not from who knows the code")
        if not body.startswith(MAGIC):
            raise NetworkError("not an answer of this protocol")
        opener = Cipher(algorithms.AES(self.of_seed(word)), modes.CBC(body[7:23])).decryptor()
        padding = PKCS7(128).unpadder()
        return padding.update(opener.update(body[23:]) + opener.finalize()) + padding.finalize()


def claim(folder: Path) -> None:
    """Ask until answered, then write device.json, and remove claim.json."""
    path = folder / "kiln/claim.json"
    asked = read_object(path.read_bytes())
    if "seed" not in asked:
        asked["seed"] = secrets.token_hex(32)
        write(path, json.dumps(asked).encode())
    code, pause = Code(asked["code"], bytes.fromhex(asked["seed"])), float(asked.get("again_s", 5))
    own = folder / "kiln/settings.json"
    settings = read_object(own.read_bytes()) if own.exists() else {}
    answer: dict[str, Any] | None = None
    while answer is None:
        try:
            answer = ask(code, asked, settings)
        except NetworkError as fault:
            print(f"no identity yet: {fault}", flush=True)
            time.sleep(pause)
            pause = min(2 * pause, AGAIN_MOST_S)
    write(own, json.dumps(settings | answer["settings"]).encode())
    write(folder / "kiln/device.json", json.dumps(identity(code, asked, answer)).encode())
    path.unlink()


def ask(code: Code, asked: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    value = {
        "claim": code.derived("name", b"").hex()[:24],
        "seed": code.seed.hex(),
        "proof": code.of_seed("proof").hex(),
    }
    wifi = {name: settings[name] for name in ("WIFI_SSID", "WIFI_PASSWORD") if name in settings}
    if wifi:
        value["own"] = code.closed("own", json.dumps(wifi).encode()).hex()
    way = Way.of({"id": "", "token": "", "base": asked["base"], "tls": asked.get("tls")})
    sent = {"Content-Type": "application/json"}
    body = json.dumps(value).encode()
    raw = b""
    with request(way, way.bases[0], "POST", "/api/v1/claim", headers=sent, body=body) as answer:
        if answer.status != 200:
            raise NetworkError(f"status {answer.status}")
        raw = read_all(answer, ANSWER_BYTES)
    return read_object(code.opened("answer", raw))


def identity(code: Code, asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    device: dict[str, Any] = {name: answer[name] for name in ("id", "board", "repo", "mqtt", "tls") if name in answer}
    device |= {"token": code.of_seed("token").hex(), "key": code.of_seed("key").hex(), "base": asked["base"]}
    if asked.get("tls"):
        device["tls"] = asked["tls"]
    if answer["base"] != asked["base"]:
        device["recovery"] = answer["base"]
    return device
