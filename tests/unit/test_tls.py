"""A TLS context from options."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ferricorn.config import create_ssl_context

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Return options with a new certificate, whose key has the password `secret`."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=localhost"]
    files = ["-keyout", str(key), "-out", str(certificate), "-passout", "pass:secret"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return {
        "certfile": certificate,
        "keyfile": key,
        "password": "secret",
        "ssl_version": ssl.PROTOCOL_TLS_SERVER,
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": certificate,
        "ciphers": "ECDHE+AESGCM",
        "alpn_protocols": ["http/1.1"],
    }


def test_a_context_speaks_as_the_options_say(options: dict[str, Any]) -> None:
    server = create_ssl_context(**options)
    assert server.verify_mode == ssl.CERT_REQUIRED
    assert len(server.get_ca_certs()) == 1
    old = [cipher["name"] for cipher in server.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert old
    assert all(name.startswith("ECDHE-") and "GCM" in name for name in old)


def test_a_key_without_its_password_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(ssl.SSLError):
        create_ssl_context(**{**options, "password": None})
