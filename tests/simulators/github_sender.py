"""How the simulated GitHub delivers: signed, once, over HTTP, with a list of what became of it.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers
"""

import hashlib
import hmac
import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import requests

from tests.simulators.github_world import Delivery, Hook, World

TIMEOUT_S = 10
SENDERS = 4  # at once, so that deliveries overtake each other as they do in life


class Sender:
    """Delivers in threads of its own: who pushed does not wait for it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pool = ThreadPoolExecutor(SENDERS, "github-sender")
        self._open = 0
        self._idle = threading.Condition()

    def send(self, hook: Hook, event: str, payload: dict[str, Any]) -> None:
        if hook.wants(event):
            repository = payload.get("repository")
            self._start(hook, str(uuid.uuid4()), event, payload, repository["id"] if repository else None)

    def again(self, hook: Hook, delivery: Delivery) -> None:
        self._start(hook, delivery.guid, delivery.event, delivery.payload, delivery.repository, redelivery=True)

    def settle(self, timeout_s: float = 30) -> None:
        """Wait until everything that is under way has been delivered, or has failed."""
        with self._idle:
            assert self._idle.wait_for(lambda: self._open == 0, timeout_s), "deliveries are still under way"

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(
        self,
        hook: Hook,
        guid: str,
        event: str,
        payload: dict[str, Any],
        repository: int | None,
        *,
        redelivery: bool = False,
    ) -> None:
        delivery = Delivery(
            id=self._world.new_id(),
            guid=guid,
            event=event,
            action=payload.get("action"),
            payload=payload,
            repository=repository,
            at=self._world.clock.now(),
            redelivery=redelivery,
        )
        with self._idle:
            self._open += 1
        self._pool.submit(self._deliver, hook, delivery)

    def _deliver(self, hook: Hook, delivery: Delivery) -> None:
        try:
            delivery.code, delivery.status = self._post(hook, delivery)
        finally:
            with self._world.lock:
                hook.deliveries.append(delivery)
            with self._idle:
                self._open -= 1
                self._idle.notify_all()

    def _post(self, hook: Hook, delivery: Delivery) -> tuple[int, str]:
        body = json.dumps(delivery.payload).encode()
        kind = "application/json"
        if hook.config.get("content_type") != "json":
            kind, body = "application/x-www-form-urlencoded", urlencode({"payload": body.decode()}).encode()
        headers = {
            "Content-Type": kind,
            "User-Agent": "GitHub-Hookshot/044aadd",
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Enterprise-Host": self._world.url.partition("//")[2],
            "X-GitHub-Enterprise-Version": "3.19.0",
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": str(hook.id),
            "X-GitHub-Hook-Installation-Target-ID": str(hook.target_id),
            "X-GitHub-Hook-Installation-Target-Type": hook.target,
        }
        secret = hook.config.get("secret", "").encode()
        if secret:
            headers["X-Hub-Signature"] = f"sha1={hmac.new(secret, body, hashlib.sha1).hexdigest()}"
            headers["X-Hub-Signature-256"] = f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
        started = time.monotonic()
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.post(
                    hook.config["url"], body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False
                )
        except requests.Timeout:
            return 504, f"timed out after {time.monotonic() - started:.0f} s"
        except requests.RequestException:
            return 502, "failed to connect to host"
        return answer.status_code, "OK" if answer.status_code < 400 else f"Invalid HTTP Response: {answer.status_code}"
