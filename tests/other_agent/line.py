"""MQTT as a device speaks it (docs/ota.md: Broker, Report, Log)."""

import queue
import ssl
import time
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

ACKNOWLEDGED_S = 10.0


class Line:
    """A line to the broker that comes back by itself."""

    def __init__(self, device: dict[str, Any]) -> None:
        self._topic = f"kiln/v1/{device['id']}"
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.lost_at: float | None = time.monotonic()  # since when it is away, None while it is there
        self.connected_again = False
        mqtt, ca = device["mqtt"], (device.get("tls") or {}).get("ca")
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=device["id"], clean_session=True)
        self._client.username_pw_set(device["id"], device["token"])
        self._client.will_set(f"{self._topic}/alive", "0", qos=1, retain=True)
        self._client.reconnect_delay_set(1, 30)
        if mqtt.get("tls"):
            self._client.tls_set(ca_certs=ca, cert_reqs=ssl.CERT_REQUIRED if ca else ssl.CERT_NONE)
            self._client.tls_insecure_set(not ca)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.connect_async(mqtt["host"], mqtt.get("port", 1883), keepalive=60)
        self._client.loop_start()

    def _on_connect(
        self, client: Client, _: object, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            return
        client.subscribe([(f"{self._topic}/desired", 1), (f"{self._topic}/ask", 1)])
        client.publish(f"{self._topic}/alive", "1", qos=1, retain=True)
        self.lost_at, self.connected_again = None, True

    def _on_disconnect(
        self, client: Client, _: object, flags: DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if self.lost_at is None:
            self.lost_at = time.monotonic()

    def _on_message(self, client: Client, _: object, message: MQTTMessage) -> None:
        self.heard.put((message.topic.rpartition("/")[2], bytes(message.payload)))

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.lost_at is not None and time.monotonic() < end:
            time.sleep(0.02)
        return self.lost_at is None

    def publish(self, kind: str, payload: bytes) -> bool:
        """Send one message, and say whether the broker acknowledged it."""
        if self.lost_at is not None:
            return False
        sent = self._client.publish(f"{self._topic}/{kind}", payload, qos=1)
        try:
            sent.wait_for_publish(ACKNOWLEDGED_S)
        except (RuntimeError, ValueError):
            return False
        return sent.is_published()

    def close(self) -> None:
        """End in order: the broker is told that the device is away."""
        if self.lost_at is None:
            self._client.publish(f"{self._topic}/alive", "0", qos=1, retain=True).wait_for_publish(2)
        self._client.disconnect()
        self._client.loop_stop()
