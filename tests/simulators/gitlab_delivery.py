"""How a simulated GitLab delivers: over HTTP, in the background, and kept as hook events.

https://docs.gitlab.com/user/project/integrations/webhooks/
"""

import json
import queue
import threading
import uuid
from collections.abc import Callable
from typing import Any

import requests
import standardwebhooks

from service.ports import Clock
from tests.simulators.gitlab_records import Attempt, Project, WebHook

TIMEOUT_S = 10
MAX_BODY_BYTES = 25 << 20
TRIGGERS = {
    "push_hooks": "Push Hook",
    "tag_push_hooks": "Tag Push Hook",
    "merge_request_hooks": "Merge Request Hook",
    "issue_hooks": "Issue Hook",
}
FLAG_OF = {
    "push_hooks": "push_events",
    "tag_push_hooks": "tag_push_events",
    "merge_request_hooks": "merge_requests_events",
    "issue_hooks": "issues_events",
}
INTERNAL_ERROR = "internal error"  # what stands for a status where there was no answer


class Postman:
    """Delivers one after the other. `instance` is the address of the GitLab."""

    def __init__(self, instance: str, version: str, clock: Clock) -> None:
        self._instance = instance
        self._agent = f"GitLab/{version}"
        self._clock = clock
        self._ids = iter(range(1, 1 << 62))
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._session = requests.Session()
        self._session.trust_env = False
        self.auto_disables = True
        self.idempotent = True  # 17.4 and later

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._jobs.put(None)
        self._thread.join(2 * TIMEOUT_S)
        self._session.close()

    def settle(self, timeout_s: float = 30) -> None:
        """Wait until everything that was posted before has been delivered, or has failed."""
        done = threading.Event()
        self._jobs.put(done.set)
        if not done.wait(timeout_s):
            raise TimeoutError(f"deliveries are still under way after {timeout_s} s")

    def post(self, project: Project, trigger: str, data: dict[str, Any]) -> None:
        """To every hook of the project that wants it."""
        for hook in list(project.hooks.values()):
            if hook.flags[FLAG_OF[trigger]]:
                self._jobs.put(lambda hook=hook: self._post_one(hook, trigger, data))  # type: ignore[misc]

    def _post_one(self, hook: WebHook, trigger: str, data: dict[str, Any]) -> None:
        if not self.auto_disables or hook.alert_status(self._clock.now()) == "executable":
            self.deliver(hook, trigger, data)

    def deliver(self, hook: WebHook, trigger: str, data: dict[str, Any], key: str = "") -> Attempt:
        """At once, whatever the hook's state."""
        key = key or str(uuid.uuid4())
        body = json.dumps(data, separators=(",", ":")).encode()
        headers = self._headers(hook, trigger, key)
        try:
            if len(body) > MAX_BODY_BYTES:
                raise ValueError("the body is too large to be sent")  # noqa: TRY301
            answer = self._session.post(
                hook.url, body, headers=headers | self._proof(hook, key, body), timeout=TIMEOUT_S, allow_redirects=False
            )
            status, said = str(answer.status_code), answer.text[:2000]
        except (requests.RequestException, ValueError) as error:
            status, said = INTERNAL_ERROR, str(error)[:200]
        with self._lock:
            attempt = Attempt(
                id=next(self._ids),
                url=hook.url,
                trigger=trigger,
                headers=headers | ({"X-Gitlab-Token": "[REDACTED]"} if hook.token else {}),
                data=data,
                key=key,
                status=status,
                body=said,
                created_at=self._clock.now(),
            )
            hook.attempts.append(attempt)
            hook.judge(is_good=status.startswith(("2", "3")), now=self._clock.now())
        return attempt

    def _headers(self, hook: WebHook, trigger: str, key: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            "X-Gitlab-Event": TRIGGERS[trigger],
            "X-Gitlab-Webhook-UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._instance}/hooks/{hook.id}")),
            "X-Gitlab-Instance": self._instance,
            "X-Gitlab-Event-UUID": str(uuid.uuid4()),
        }
        return headers | ({"Idempotency-Key": key} if self.idempotent else {})

    def _proof(self, hook: WebHook, key: str, body: bytes) -> dict[str, str]:
        """The secret as it is, or a signature by another implementation of Standard Webhooks than ours."""
        proof = {"X-Gitlab-Token": hook.token} if hook.token else {}
        if hook.signing_token:
            now = self._clock.now()
            signature = standardwebhooks.Webhook(hook.signing_token).sign(key, now, body.decode())
            proof |= {
                "webhook-id": key,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signature,
            }
        return proof

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
