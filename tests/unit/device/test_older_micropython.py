"""What MicroPython had not before 1.22."""

import ssl

import pytest

from ota import tls


@pytest.mark.parametrize("missing", ["SSLContext", "PROTOCOL_TLS_CLIENT"])
def test_without_contexts_a_line_with_tls_fails_as_a_line_and_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delattr(ssl, missing)

    with pytest.raises(OSError, match=r"needs MicroPython 1\.22"):
        tls.over(None, "kiln.example", {})
