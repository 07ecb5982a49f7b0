"""Receive: why a connection to the broker does not come about, in words that say what to do."""

from __future__ import annotations

import errno
import socket
import ssl

from ingest.broker_settings import BrokerSettings, split_url

_EXPIRED, _NOT_YET_VALID = 10, 9
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})
"""Codes of OpenSSL's certificate check (openssl-verification-options, x509_vfy.h)."""

_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})


def connection_words(error: OSError, settings: BrokerSettings) -> str:
    """A sentence about an error of connecting with these settings: what is wrong, and what to look at."""
    scheme, host, port = split_url(settings.url)
    if isinstance(error, socket.gaierror):
        return f'the name "{host}" is not known to DNS: is it written right, and does this machine have a name server?'
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_words(error, settings, host)
    if isinstance(error, ssl.SSLError):
        return _tls_words(error, host, port)
    if isinstance(error, ConnectionRefusedError):
        return f"{host} refuses connections at port {port}: nothing listens there; is the broker running, on this port?"
    if isinstance(error, TimeoutError):
        return f"{host} does not answer at port {port}: the address is wrong, the host is off, or a firewall is between"
    if isinstance(error, FileNotFoundError):
        return (
            f'"{error.filename or settings.tls_ca}" is not there: broker.tls_ca, tls_certificate and tls_key name files'
        )
    if error.errno in _UNREACHABLE:
        return f"there is no way from this machine to {host}: {error.strerror}"
    if isinstance(error, ConnectionResetError | BrokenPipeError | EOFError):
        other = "it may expect TLS (mqtts://)" if scheme == "mqtt" else "it may be a port without TLS (mqtt://)"
        return f"{host} ended the connection at port {port} without a word: {other}, or no broker's port"
    return f"{host} cannot be reached at port {port}: {error.strerror or error}"


def _certificate_words(error: ssl.SSLCertVerificationError, settings: BrokerSettings, host: str) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return "the broker's certificate has expired, if this machine's clock is right; it has to be renewed there"
    if code == _NOT_YET_VALID:
        return "the broker's certificate is not valid yet: this machine's clock is behind, or the broker's was ahead"
    if code in _OTHER_NAME:
        return f'the broker\'s certificate is not for "{host}": put a name that it holds into broker.url'
    if code in _UNKNOWN_ISSUER:
        file = f'"{settings.tls_ca}" does not hold it' if settings.tls_ca else "name it with broker.tls_ca"
        return f"the broker's certificate was issued by an authority that is not known here: {file}"
    return f"the broker's certificate is refused: {error.verify_message}"


def _tls_words(error: ssl.SSLError, host: str, port: int) -> str:
    reason = (error.reason or "").upper()
    if any(
        word in reason for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTO")
    ):
        return f"{host} answers at port {port}, but not in TLS: take mqtt:// for this port, or the broker's TLS port"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "EOF" in reason:
        return f"{host} ended the TLS handshake at port {port}: it may be a port without TLS (mqtt://)"
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason or "BAD_CERTIFICATE" in reason:
        return "the broker asks for a client certificate: set broker.tls_certificate and broker.tls_key"
    if "UNKNOWN_CA" in reason or "CERTIFICATE_UNKNOWN" in reason:
        return "the broker does not know the authority that issued the client certificate (broker.tls_certificate)"
    if "EXPIRED" in reason or "REVOKED" in reason:
        return "the broker says that the client certificate (broker.tls_certificate) has expired, or was revoked"
    return f"TLS with {host} at port {port} fails: {error.reason or error}"
