"""Certificate authorities beside the distribution's own: for forges in a network of their own, and for devices."""

import logging
import pathlib
import ssl

from runners.contract.source import MAX_AUTHORITIES_CHARS
from service.domain.errors import BadInputError

logger = logging.getLogger(__name__)

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"  # RFC 7468
MAX_DEVICE_AUTHORITY_CHARS = 8 << 10  # a board reads it at once


def read_authorities(name: str) -> str:
    """The PEM text of the file that KILN_SOURCE_CA names; empty for none. Raises: BadInputError."""
    if not name:
        return ""
    try:
        text = pathlib.Path(name).read_text("ascii")
        if _BEGIN not in text:
            raise ValueError("there is no certificate in it")  # noqa: TRY301  # the sentence is below
        ssl.create_default_context(cadata=text)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise BadInputError(f"KILN_SOURCE_CA: {name} is no readable file of certificates in PEM ({error})") from error
    if len(text) > MAX_AUTHORITIES_CHARS:
        raise BadInputError(f"KILN_SOURCE_CA: {name} has more than {MAX_AUTHORITIES_CHARS} characters")
    return text


def device_authority(named: str, otherwise: str) -> str:
    """The first certificate of the PEM file that is named, for that is the one that a board reads; empty for none.

    The one of the file `otherwise` where none is named, if there is no other in it: of what a distribution trusts, the
    first would be a wrong one. Raises: BadInputError.
    """
    name = named or otherwise
    if not name:
        return ""
    try:
        text = pathlib.Path(name).read_text("utf-8", "replace")  # notes beside it may be in any language
        if not named and text.count(_BEGIN) > 1:
            logger.warning("KILN_MQTT_CA has several certificates: KILN_DEVICE_CA says which one boards verify by")
            return ""
        begin, middle, _ = text.partition(_BEGIN)[2].partition(_END)
        found = f"{_BEGIN}{begin}{middle}\n"
        ssl.create_default_context(cadata=found)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise BadInputError(
            f"KILN_DEVICE_CA, or else KILN_MQTT_CA: {name} is no readable certificate in PEM ({error})"
        ) from error
    if len(found) > MAX_DEVICE_AUTHORITY_CHARS:
        raise BadInputError(f"KILN_DEVICE_CA: {name} has more than {MAX_DEVICE_AUTHORITY_CHARS} characters")
    return found


def with_the_systems(text: str) -> str:
    """The same together with what this machine trusts."""
    found = ssl.get_default_verify_paths()
    for name in (found.cafile, found.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if name and pathlib.Path(name).is_file():
            return f"{pathlib.Path(name).read_text('utf-8')}\n{text}"
    return text
