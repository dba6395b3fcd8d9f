"""Checks of keys and certificates, before gRPC sees them: it would print many lines, or say nothing until a call fails."""

import ssl
import tempfile
from pathlib import Path


class Wrong(ValueError):
    """No key or certificate, or one that does not fit; says in one line what was found, and what was expected."""


def check_certificates(name: str, pem: str) -> None:
    """Raises `Wrong`, which begins with `name`, unless the text is one or more certificates in PEM."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise Wrong(f"{name}: expected certificates in PEM, found {_found(pem)} ({_reason(error)})") from None


def check_key(name: str, key: str, certificate: str) -> None:
    """Raises `Wrong`, which begins with `name`, unless the key is one without a password, and that of the certificate."""
    with tempfile.TemporaryDirectory() as folder:  # of this user alone; OpenSSL takes files only
        key_file, certificate_file = Path(folder, "key"), Path(folder, "certificate")
        key_file.write_text(key)
        certificate_file.write_text(certificate)
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate_file, key_file, password=_no_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise Wrong(f"{name}: expected the key of the certificate, found that of another") from None
            raise Wrong(f"{name}: expected a private key in PEM, found {_found(key)} ({_reason(error)})") from None
        except _Encrypted:
            raise Wrong(f"{name}: expected a private key without a password, found one with it") from None


class _Encrypted(Exception):
    pass


def _no_password():
    raise _Encrypted


def _found(pem):
    """Returns what a text is, without its content, which may be secret."""
    first = pem.strip().partition("\n")[0]
    return first if first.startswith("-----BEGIN ") else f"{len(pem)} characters that do not begin with -----BEGIN"


def _reason(error):
    return getattr(error, "reason", None) or str(error)
