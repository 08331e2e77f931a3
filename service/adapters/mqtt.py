"""The service's own connection to an MQTT broker, whichever it is: the only module that knows paho."""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from service.adapters.broker_rights import ROOT, SERVICE
from service.domain.errors import BrokerError

PUBLISH_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 30
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
MAX_INFLIGHT = 1000  # notices on the way to the broker at once
_TOPIC_LEVELS = 4

logger = logging.getLogger(__name__)

ReportCallback = Callable[[str, bytes], None]
LogCallback = Callable[[str, bytes], None]
AliveCallback = Callable[[str, bool], None]


class MqttBroker:
    """`service.ports.Broker`, and what devices say.

    Connects in the background, again and again, from `start` to `stop`. What devices send while it is away waits at
    the broker. Callbacks run one after another in a thread of their own, so they may publish; a message is
    acknowledged after its callback, so a service that dies in between gets it again.
    """

    def __init__(self, *, host: str, port: int, password: str, user: str = SERVICE, client_id: str = SERVICE) -> None:
        """Two processes need two client ids: the broker closes the older connection of the same one."""
        self._host, self._port = host, port
        self._connected = threading.Event()
        self._incoming: queue.SimpleQueue[paho.MQTTMessage | None] = queue.SimpleQueue()
        self._report: ReportCallback | None = None
        self._alive: AliveCallback | None = None
        self._log: LogCallback | None = None
        self._dispatcher: threading.Thread | None = None
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, manual_ack=True
        )
        client.username_pw_set(user, password)
        client.max_inflight_messages_set(MAX_INFLIGHT)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message

    def on_report(self, callback: ReportCallback) -> None:
        """Before `start`: called with a device id and the payload of each report, as untrusted as it came."""
        self._report = callback

    def on_alive(self, callback: AliveCallback) -> None:
        """Before `start`: called with a device id and whether it is connected."""
        self._alive = callback

    def on_log(self, callback: LogCallback) -> None:
        """Before `start`: called with a device id and the last lines that it printed."""
        self._log = callback

    def start(self) -> None:
        """Returns at once; `is_connected` tells when the broker answered."""
        self._dispatcher = threading.Thread(target=self._dispatch, name="mqtt-reports", daemon=True)
        self._dispatcher.start()
        # Paho doubles the wait from the first to the last; a chance start keeps services apart after an outage.
        self._client.reconnect_delay_set(FIRST_RETRY_S * random.uniform(1, 2), LAST_RETRY_S)  # type: ignore[arg-type]  # noqa: S311  # any number of seconds; no secret
        self._client.connect_async(self._host, self._port, keepalive=KEEP_ALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Safe from any state. What was not acknowledged comes again at the next start."""
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

        Raises: BrokerError, after at most 10 s.
        """
        deadline = time.monotonic() + PUBLISH_TIMEOUT_S
        if not self._connected.wait(PUBLISH_TIMEOUT_S):
            raise BrokerError(f"no connection to the MQTT broker at {self._host}:{self._port}")
        try:
            sent = [self._client.publish(topic, payload, qos=1, retain=retain) for topic, payload in messages]
            for each in sent:
                each.wait_for_publish(max(0.001, deadline - time.monotonic()))
                if not each.is_published():
                    raise BrokerError(f"the MQTT broker did not acknowledge within {PUBLISH_TIMEOUT_S:.0f} s")
        except (ValueError, RuntimeError) as error:
            raise BrokerError(f"the MQTT broker did not take a message: {error}") from error

    # -- paho's thread

    def _on_connect(
        self, client: paho.Client, _: object, flags: paho.ConnectFlags, reason: ReasonCode, __: Properties | None
    ) -> None:
        if reason.is_failure:
            logger.warning("MQTT broker refused the service", extra={"reason": str(reason)})
            return
        client.subscribe([(f"{ROOT}/+/{kind}", 1) for kind in ("report", "alive", "log")])
        self._connected.set()
        logger.info("connected to the MQTT broker", extra={"host": self._host, "port": self._port})

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
        while (message := self._incoming.get()) is not None:
            try:
                self._tell(message.topic.split("/"), bytes(message.payload))
            except Exception:  # the thread outlives whatever one report does
                logger.exception("a report was not taken", extra={"topic": message.topic})
            code = self._client.ack(message.mid, message.qos)
            if code not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
                logger.warning("a report was not acknowledged", extra={"topic": message.topic})

    def _tell(self, levels: list[str], payload: bytes) -> None:
        if len(levels) != _TOPIC_LEVELS:
            return
        device, kind = levels[2:]
        if kind == "report" and self._report is not None:
            self._report(device, payload)
        elif kind == "alive" and self._alive is not None and payload:  # an empty one clears what was kept
            self._alive(device, payload == b"1")
        elif kind == "log" and self._log is not None:
            self._log(device, payload)
