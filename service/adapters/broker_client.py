"""How the service's own clients reach an MQTT broker, whichever it is: where it is, by which authority, as whom."""

import ssl
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from service.adapters.broker_rights import SERVICE
from service.domain.errors import BadInputError

KEEP_ALIVE_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A broker, and who we are there."""

    host: str
    port: int
    password: str = field(repr=False)
    user: str = SERVICE
    authority: str = ""  # a PEM file that the broker's certificate is verified by; empty: no TLS

    def client(self, client_id: str, *, clean: bool) -> paho.Client:
        """Not connected yet. Raises: BadInputError when the authority's file cannot be read."""
        made = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, manual_ack=not clean)
        made.username_pw_set(self.user, self.password)
        if self.authority:
            made.tls_set_context(self._context())
        return made

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except (OSError, ssl.SSLError) as error:
            raise BadInputError(f"KILN_MQTT_CA: {self.authority} cannot be read as certificates: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
