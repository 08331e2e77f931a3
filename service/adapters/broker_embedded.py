"""Kiln's own MQTT 3.1.1 broker, for whoever has none: its own process, QoS 0 and 1.

docs/decisions/0004-embedded-broker.md says why it exists.
"""

import asyncio
import logging
import resource
import signal
from typing import Any

from service.adapters.broker_connection import CONNECT_TIMEOUT_S
from service.adapters.broker_hub import Broker, BrokerSettings
from service.adapters.broker_rights import Home
from service.adapters.broker_store import EmbeddedAccounts
from service.adapters.broker_tls import Certificate
from service.domain.errors import BrokerError

__all__ = ["BrokerSettings", "EmbeddedAccounts", "Home", "serve"]

CERTIFICATE_EVERY_S = 2.0
BACKLOG = 512

logger = logging.getLogger(__name__)


def serve(settings: BrokerSettings) -> None:
    """Runs until SIGTERM or SIGINT. Raises: BrokerError when it cannot listen or its files fail."""
    asyncio.run(_run(settings))


async def _run(settings: BrokerSettings) -> None:
    certificate = Certificate(settings.certificate, settings.key) if settings.tls_port else None
    broker = Broker(settings)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    servers = await _listen(settings, broker, certificate)
    _allow_files(settings.max_connections + 100)
    work = (broker.keep_posting(), broker.keep_checking(), _keep_looking(certificate), ended.wait())
    tasks = [asyncio.ensure_future(each) for each in work]
    finished, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for server in servers:
        server.close()
    broker.close()
    for server in servers:
        await server.wait_closed()
    for task in finished:
        task.result()  # a broker whose task broke must not pretend to end well


async def _listen(settings: BrokerSettings, broker: Broker, certificate: Certificate | None) -> list[asyncio.Server]:
    """Raises: BrokerError."""
    places: list[tuple[int, dict[str, Any]]] = [(settings.port, {})]
    if certificate is not None:
        places.append((settings.tls_port, {"ssl": certificate.context, "ssl_handshake_timeout": CONNECT_TIMEOUT_S}))
    servers = []
    for port, options in places:
        try:
            servers.append(
                await asyncio.start_server(
                    broker.welcome, settings.host, port, limit=settings.max_packet_bytes, backlog=BACKLOG, **options
                )
            )
        except OSError as error:
            raise BrokerError(f"the broker cannot listen on {settings.host}:{port}: {error.strerror}") from error
        logger.info("broker listens", extra={"host": settings.host, "port": port, "tls": bool(options)})
    return servers


async def _keep_looking(certificate: Certificate | None) -> None:
    """Whoever connects after the files changed sees the new certificate."""
    while True:
        await asyncio.sleep(CERTIFICATE_EVERY_S)
        try:
            if certificate is not None and certificate.look():
                logger.info("certificate taken again")
        except BrokerError as error:
            logger.warning("certificate not taken", extra={"reason": str(error)})


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
