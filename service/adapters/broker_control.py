"""Commands to Mosquitto's dynamic security plugin over MQTT, and its answers.

https://mosquitto.org/documentation/dynamic-security/ and the plugin's README.md say what the commands are.
"""

import itertools
import json
import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from service.adapters.broker_client import KEEP_ALIVE_S, Place
from service.adapters.broker_rights import SERVICE
from service.domain.errors import BrokerError

CONTROL = "$CONTROL/dynamic-security/v1"
ANSWERS = f"{CONTROL}/response"
TIMEOUT_S = 10.0  # without any answer; the plugin writes its whole file for each command
MAX_BATCH_BYTES = 12 << 10  # below the broker's `max_packet_size`
RETRY_S = 0.2

logger = logging.getLogger(__name__)

Command = dict[str, Any]
Answer = dict[str, Any]


class Control:
    """A connection of its own, made when it is first needed and kept. For any number of threads, one after another."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._client: paho.Client | None = None
        self._is_ready, self._is_closed = False, False
        self._answers: dict[str, Answer] = {}

    def ask(self, commands: Sequence[Command]) -> list[Answer]:
        """The answer to each command, in their order; one that failed has `error`.

        Raises: BrokerError, after at most 10 s without an answer. What was asked may have been done then.
        """
        with self._turn:
            client = self._ready()
            mark = secrets.token_hex(4)
            named = {f"{mark}-{number}": command for number, command in enumerate(commands)}
            with self._changed:
                self._answers.clear()
            for batch in _batches(named):
                client.publish(CONTROL, batch, qos=1)
            found = self._await(list(named))
            return [found[name] for name in named]

    def close(self) -> None:
        """For good. Safe to repeat."""
        with self._turn:
            self._is_closed = True  # or who asks once more would make a connection that nobody ends
            self._leave()

    def _ready(self) -> paho.Client:
        if self._is_closed:
            raise BrokerError("the connection to the MQTT broker was closed")
        if self._client is None:
            client = self._place.client(f"{SERVICE}-control-{secrets.token_hex(4)}", clean=True)
            client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
            client.on_disconnect, client.on_message = self._on_disconnect, self._on_message
            client.reconnect_delay_set(1, 2)
            client.connect_async(self._place.host, self._place.port, keepalive=KEEP_ALIVE_S)
            client.loop_start()
            self._client = client
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_ready, TIMEOUT_S):
                raise BrokerError(f"no connection to the MQTT broker at {self._place.host}:{self._place.port}")
        return self._client

    def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()
            self._is_ready = False

    def _await(self, names: list[str]) -> dict[str, Answer]:
        """Waits as long as answers come: a thousand commands may take a minute."""
        with self._changed:
            count, deadline = 0, time.monotonic() + TIMEOUT_S
            while not all(name in self._answers for name in names):
                self._changed.wait(RETRY_S)
                if len(self._answers) > count:
                    count, deadline = len(self._answers), time.monotonic() + TIMEOUT_S
                if not self._is_ready:
                    raise BrokerError("the connection to the MQTT broker broke before it answered")
                if time.monotonic() > deadline:
                    raise BrokerError(f"the MQTT broker did not answer within {TIMEOUT_S:.0f} s")
            return dict(self._answers)

    # -- paho's thread

    def _on_connect(
        self, client: paho.Client, _: object, __: paho.ConnectFlags, reason: ReasonCode, ___: Properties | None
    ) -> None:
        if reason.is_failure:
            logger.warning("MQTT broker refused the service", extra={"reason": str(reason)})
        elif client.subscribe(ANSWERS, 1)[0] != MQTTErrorCode.MQTT_ERR_SUCCESS:
            logger.warning("the broker's answers cannot be heard")

    def _on_subscribe(
        self, _: paho.Client, __: object, ___: int, reasons: list[ReasonCode], ____: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            logger.warning("the service's user has no rights over the broker's accounts")
            return
        with self._changed:
            self._is_ready = True
            self._changed.notify_all()

    def _on_disconnect(
        self, _: paho.Client, __: object, ___: paho.DisconnectFlags, ____: ReasonCode, _____: Properties | None
    ) -> None:
        with self._changed:
            self._is_ready = False
            self._changed.notify_all()

    def _on_message(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        try:
            answers = json.loads(message.payload)["responses"]
            found = {str(each["correlationData"]): each for each in answers if "correlationData" in each}
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("an answer of the broker is not understood", extra={"reason": str(error)})
            return
        with self._changed:
            self._answers |= found
            self._changed.notify_all()


def _batches(named: dict[str, Command]) -> Iterator[bytes]:
    """As few messages as the broker takes. Each is done command by command: it is no transaction."""
    texts = (json.dumps({**command, "correlationData": name}) for name, command in named.items())
    batch: list[str] = []
    for text in itertools.chain(texts, [""]):
        if batch and (not text or sum(map(len, batch)) + len(text) > MAX_BATCH_BYTES):
            yield f'{{"commands":[{",".join(batch)}]}}'.encode()
            batch = []
        batch.append(text)
