"""Signed deliveries at a steady pace over one connection, from a process of its own: how long each takes.

`python -m tests.bench.fleet_door URL SECONDS` prints how many there were, and p50, p99 and the longest in milliseconds;
SIGTERM ends it before that time.
They are pushes that ask to be skipped: as durable as any other, and nothing is built.
"""

import hashlib
import hmac
import http.client
import json
import signal
import statistics
import sys
import threading
import time
import urllib.parse
import uuid

from tests.bench.door import SECRET, payload

PER_S = 40


def main(url: str, seconds: float) -> None:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname
    line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    took: list[float] = []
    began, before = time.monotonic(), "1" * 40
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: ended.set())
    while not ended.is_set() and (due := began + len(took) / PER_S) < began + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        after = uuid.uuid4().hex + "0" * 8
        body = event(before, after)
        sent = time.monotonic()
        line.request("POST", parts.path, body, headers(body))
        answer = line.getresponse()
        answer.read()
        took.append(1000 * (time.monotonic() - sent))
        if answer.status not in (200, 202):
            raise RuntimeError(f"the door said {answer.status}")
        before = after
    cuts = statistics.quantiles(took, n=100)
    print(f"{len(took)} {cuts[49]:.1f} {cuts[98]:.1f} {max(took):.1f}")


def event(before: str, after: str) -> bytes:
    found = json.loads(payload(after))
    found |= {"before": before, "ref": "refs/heads/door"}
    found["head_commit"]["message"] = "one commit [skip ci]"
    found["commits"] = [found["head_commit"]]
    return json.dumps(found).encode()


def headers(body: bytes) -> dict[str, str]:
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": f"sha256={signature}",
    }


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
