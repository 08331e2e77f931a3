"""The service's own connection to an MQTT broker, whichever it is."""

import contextlib
import functools
import logging
import queue
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from service.adapters.broker_client import KEEP_ALIVE_S, Place
from service.adapters.broker_rights import ROOT, SERVICE
from service.domain.errors import BrokerError

PUBLISH_TIMEOUT_S = 10.0
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
MAX_INFLIGHT = 1000  # notices on the way to the broker at once
MAX_TOGETHER = 50  # messages of devices that are taken together: others who write wait for that long
_TOPIC_LEVELS = 4

_Said = TypeVar("_Said")

logger = logging.getLogger(__name__)

ReportsCallback = Callable[[Sequence[tuple[str, bytes]]], None]
LogCallback = Callable[[str, bytes], None]
AliveCallback = Callable[[Sequence[tuple[str, bool]]], None]
OtherCallback = Callable[[str, bytes], None]
ReturnCallback = Callable[[bool], None]


def as_it_is() -> bool:
    """Most brokers need nothing before the service speaks to them."""
    return True


class MqttBroker:
    """`service.ports.Broker`, and what devices say.

    Connects in the background, again and again, from `start` to `stop`. What devices send while it is away waits at
    the broker. Callbacks run one after another in a thread of their own, so they may publish; messages are
    acknowledged after their callback, so a service that dies in between gets them again.
    """

    def __init__(self, place: Place, *, client_id: str = SERVICE, prepare: Callable[[], bool] = as_it_is) -> None:
        """Two processes need two client ids: the broker closes the older connection of the same one.

        `prepare` is called at each connection before anything is sent. When it raises BrokerError, or says that the
        broker will close this connection for what it did, we connect again.
        """
        self._place = place
        self._prepare = prepare
        self._connected = threading.Event()
        self._comings = 0  # connections until now
        self._incoming: queue.SimpleQueue[paho.MQTTMessage | Callable[[], None] | None] = queue.SimpleQueue()
        self._reports: ReportsCallback | None = None
        self._alive: AliveCallback | None = None
        self._log: LogCallback | None = None
        self._returns: list[ReturnCallback] = []
        self._others: list[tuple[str, OtherCallback]] = []
        self._word: tuple[str, bytes] | None = None
        self._last: tuple[str, bytes] | None = None
        self._dispatcher: threading.Thread | None = None
        self._client = client = place.client(client_id, clean=False)
        client.max_inflight_messages_set(MAX_INFLIGHT)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message

    def on_reports(self, callback: ReportsCallback) -> None:
        """Before `start`: called with reports that came together, in their order: device id and payload of each.

        They are as untrusted as they came.
        """
        self._reports = callback

    def on_alive(self, callback: AliveCallback) -> None:
        """Before `start`: called with words that came together, in their order: device id, and whether it is there."""
        self._alive = callback

    def on_log(self, callback: LogCallback) -> None:
        """Before `start`: called with a device id and the last lines that it printed."""
        self._log = callback

    def on_topic(self, name: str, callback: OtherCallback) -> None:
        """Before `start`: called with topic and payload of what comes under this filter, but for what was retained."""
        self._others.append((name, callback))

    def leave_word(self, topic: str, here: bytes, gone: bytes) -> None:
        """Before `start`: what is retained there while we are connected, and what afterwards."""
        self._client.will_set(topic, gone, qos=1, retain=True)
        self._word, self._last = (topic, here), (topic, gone)

    def on_return(self, callback: ReturnCallback) -> None:
        """Before `start`: called at each connection, with whether the broker remembers us.

        If it does not, it may have lost all that it kept.
        """
        self._returns.append(callback)

    def start(self) -> None:
        """Returns at once; `is_connected` tells when the broker answered."""
        self._dispatcher = threading.Thread(target=self._dispatch, name="mqtt-reports", daemon=True)
        self._dispatcher.start()
        # Paho doubles the wait from the first to the last; a chance start keeps services apart after an outage.
        self._client.reconnect_delay_set(FIRST_RETRY_S * random.uniform(1, 2), LAST_RETRY_S)  # type: ignore[arg-type]  # noqa: S311  # any number of seconds; no secret
        self._client.connect_async(self._place.host, self._place.port, keepalive=KEEP_ALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Safe from any state. What was not acknowledged comes again at the next start."""
        if self._last is not None and self._connected.is_set():
            with contextlib.suppress(BrokerError):
                self.publish(*self._last, retain=True)
        self._client.disconnect()
        self._client.loop_stop()
        self._connected.clear()
        if self._dispatcher is not None:
            self._incoming.put(None)
            self._dispatcher.join(PUBLISH_TIMEOUT_S)
            self._dispatcher = None

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        self.publish_many([(topic, payload)], retain=retain)

    def publish_many(self, messages: Iterable[tuple[str, bytes]], *, retain: bool) -> None:
        """As `publish` for each, without waiting between them. After an error any of them may have arrived.

        Raises: BrokerError, after at most 10 s; also when we came to the broker anew meanwhile: one that was killed may
        have lost what it acknowledged before.
        """
        deadline = time.monotonic() + PUBLISH_TIMEOUT_S
        if not self._connected.wait(PUBLISH_TIMEOUT_S):
            raise BrokerError(f"no connection to the MQTT broker at {self._place.host}:{self._place.port}")
        comings = self._comings
        try:
            sent = [self._client.publish(topic, payload, qos=1, retain=retain) for topic, payload in messages]
            for each in sent:
                each.wait_for_publish(max(0.001, deadline - time.monotonic()))
                if not each.is_published():
                    raise BrokerError(f"the MQTT broker did not acknowledge within {PUBLISH_TIMEOUT_S:.0f} s")
        except (ValueError, RuntimeError) as error:
            raise BrokerError(f"the MQTT broker did not take a message: {error}") from error
        if self._comings != comings:
            raise BrokerError("the MQTT broker was away for a moment, and may have lost what it acknowledged")

    # -- paho's thread

    def _on_connect(
        self, client: paho.Client, _: object, flags: paho.ConnectFlags, reason: ReasonCode, __: Properties | None
    ) -> None:
        self._comings += 1  # before anything is sent again
        if reason.is_failure:
            logger.warning("MQTT broker refused the service", extra={"reason": str(reason)})
            return
        try:
            if not self._prepare():
                self._leave()
                return
        except BrokerError as error:
            logger.warning("the MQTT broker is not ready for us", extra={"reason": str(error)})
            self._leave()
            return
        wanted = [f"{ROOT}/+/{kind}" for kind in ("report", "alive", "log")]
        client.subscribe([(name, 1) for name in [*wanted, *(name for name, _ in self._others)]])
        if self._word is not None:
            client.publish(*self._word, qos=1, retain=True)
        self._connected.set()
        logger.info("connected to the MQTT broker", extra={"host": self._place.host, "port": self._place.port})
        for callback in self._returns:
            self._incoming.put(functools.partial(callback, flags.session_present))

    def _leave(self) -> None:
        """So that paho connects anew, after a pause."""
        found = self._client.socket()
        if isinstance(found, socket.socket):
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    def _on_disconnect(
        self, _: paho.Client, __: object, ___: paho.DisconnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        if self._connected.is_set():
            logger.warning("lost the MQTT broker", extra={"reason": str(reason)})
        self._connected.clear()

    def _on_message(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        self._incoming.put(message)

    # -- the callbacks' thread

    def _dispatch(self) -> None:
        for found in self._coming():
            if not isinstance(found, list):
                self._attempt(found)
                continue
            self._take(found)
            for each in found:
                code = self._client.ack(each.mid, each.qos)
                if code not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
                    logger.warning("a report was not acknowledged", extra={"topic": each.topic})

    def _coming(self) -> Iterator[list[paho.MQTTMessage] | Callable[[], None]]:
        """Messages that came while the last ones were taken, and what else is to be done, in order; until None."""
        while True:
            found = [self._incoming.get()]
            while isinstance(found[-1], paho.MQTTMessage) and len(found) < MAX_TOGETHER and not self._incoming.empty():
                found.append(self._incoming.get())
            if messages := [each for each in found if isinstance(each, paho.MQTTMessage)]:
                yield messages
            if found[-1] is None:
                return
            if not isinstance(found[-1], paho.MQTTMessage):
                yield found[-1]

    def _attempt(self, deed: Callable[[], None]) -> None:
        try:
            deed()
        except Exception:  # the thread outlives whatever one report does
            logger.exception("a report was not taken")

    def _attempt_all(self, callback: Callable[[Sequence[_Said]], None], said: Sequence[_Said]) -> None:
        """What cannot be taken together is taken one by one: the others outlive one that is odd."""
        try:
            callback(said)
        except Exception:
            if len(said) == 1:
                logger.exception("a report was not taken")
                return
            for each in said:
                self._attempt_all(callback, [each])

    def _take(self, messages: Sequence[paho.MQTTMessage]) -> None:
        """Reports together and words of who is there together: that takes the disk once, however many there are."""
        said = [(each.topic.split("/"), bytes(each.payload)) for each in messages]
        named = [(levels[2], levels[3], payload) for levels, payload in said if len(levels) == _TOPIC_LEVELS]
        named = [each for each in named if each[2]]  # an empty one clears what was kept
        alive = [(device, payload == b"1") for device, kind, payload in named if kind == "alive"]
        reports = [(device, payload) for device, kind, payload in named if kind == "report"]
        if alive and self._alive is not None:
            self._attempt_all(self._alive, alive)
        if reports and self._reports is not None:
            self._attempt_all(self._reports, reports)
        for device, kind, payload in named:
            if kind == "log" and self._log is not None:
                self._attempt(functools.partial(self._log, device, payload))
        for each in messages:
            for name, callback in self._others:
                if paho.topic_matches_sub(name, each.topic) and not each.retain:
                    self._attempt(functools.partial(callback, each.topic, bytes(each.payload)))
