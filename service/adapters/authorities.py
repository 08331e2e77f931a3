"""Certificate authorities beside the distribution's own, for forges in a network of their own."""

import pathlib
import ssl

from runners.contract.source import MAX_AUTHORITIES_CHARS
from service.domain.errors import BadInputError


def read_authorities(name: str) -> str:
    """The PEM text of the file that KILN_SOURCE_CA names; empty for none. Raises: BadInputError."""
    if not name:
        return ""
    try:
        text = pathlib.Path(name).read_text("ascii")
        if "-----BEGIN CERTIFICATE-----" not in text:
            raise ValueError("there is no certificate in it")  # noqa: TRY301  # the sentence is below
        ssl.create_default_context(cadata=text)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise BadInputError(f"KILN_SOURCE_CA: {name} is no readable file of certificates in PEM ({error})") from error
    if len(text) > MAX_AUTHORITIES_CHARS:
        raise BadInputError(f"KILN_SOURCE_CA: {name} has more than {MAX_AUTHORITIES_CHARS} characters")
    return text


def with_the_systems(text: str) -> str:
    """The same together with what this machine trusts."""
    found = ssl.get_default_verify_paths()
    for name in (found.cafile, found.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if name and pathlib.Path(name).is_file():
            return f"{pathlib.Path(name).read_text('utf-8')}\n{text}"
    return text
