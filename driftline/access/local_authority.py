"""Certificates of devices at a mosquitto broker: an authority of one's own, which signs and revokes them.

Keys are of the curve P-256, which microcontrollers know. Source: RFC 5280 (certificates and lists of revoked ones).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from common.extras import optional

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import oid
else:
    _PURPOSE = "A certificate for a device"
    x509 = optional("cryptography.x509", extra="certificates", purpose=_PURPOSE)
    oid = optional("cryptography.x509.oid", extra="certificates", purpose=_PURPOSE)
    hashes = optional("cryptography.hazmat.primitives.hashes", extra="certificates", purpose=_PURPOSE)
    serialization = optional("cryptography.hazmat.primitives.serialization", extra="certificates", purpose=_PURPOSE)
    ec = optional("cryptography.hazmat.primitives.asymmetric.ec", extra="certificates", purpose=_PURPOSE)

AUTHORITY_DAYS, CERTIFICATE_DAYS = 20 * 365, 5 * 365
_EARLIER = timedelta(days=1)
"""Certificates begin so much before they are made: a device's clock may be behind."""
_SERVER = "server"


class LocalAuthority:
    """The authority of a folder: its own certificate and key, and those that it has signed, made at their first use.

    `certificate`, `revoked`, `server` and the files of `client` are those that mosquitto and the devices are given; the
    keys can be read by their owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.crt"
        self.revoked = folder / "revoked.crl"
        self._key = folder / "ca.key"

    @property
    def exists(self) -> bool:
        """Whether it has been made."""
        return self.certificate.exists()

    def client(self, name: str) -> tuple[Path, Path]:
        """Where the certificate and the key of a device are."""
        return self.folder / "devices" / f"{name}.crt", self.folder / "devices" / f"{name}.key"

    @property
    def server(self) -> tuple[Path, Path]:
        """Where the certificate and the key of the broker are."""
        return self.folder / f"{_SERVER}.crt", self.folder / f"{_SERVER}.key"

    def issue(self, name: str) -> int:
        """Sign a new key for a device, in place of the one before; its serial number, by which it is revoked."""
        return self._issue(name, self.client(name), oid.ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def issue_server(self, hosts: Sequence[str]) -> None:
        """Sign a new key for the broker, which devices reach by these names and addresses."""
        self._issue(hosts[0], self.server, oid.ExtendedKeyUsageOID.SERVER_AUTH, hosts)

    def revoke(self, serials: Sequence[int]) -> None:
        """Let exactly these serial numbers be revoked."""
        authority, key = self._authority()
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(authority.subject)
            .last_update(now - _EARLIER)
            .next_update(now + timedelta(days=AUTHORITY_DAYS))
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - _EARLIER).build()
            builder = builder.add_revoked_certificate(entry)
        _put(self.revoked, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), 0o644)

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        if not self.exists:
            self._make()
        key = serialization.load_pem_private_key(self._key.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()), key

    def _make(self) -> None:
        (self.folder / "devices").mkdir(mode=0o750, parents=True, exist_ok=True)
        key, name = ec.generate_private_key(ec.SECP256R1()), _named("Driftline devices")
        usage = x509.KeyUsage(
            key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        builder = (
            _certificate(name, name, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        _put(self._key, _key_bytes(key), 0o600)
        _put(self.certificate, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), 0o644)
        self.revoke([])

    def _issue(self, name: str, files: tuple[Path, Path], usage: x509.ObjectIdentifier, hosts: Sequence[str]) -> int:
        authority, signing = self._authority()
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _certificate(_named(name), authority.subject, key.public_key(), CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(_names_of(hosts))), critical=False)
        signed = builder.sign(signing, hashes.SHA256())
        _put(files[1], _key_bytes(key), 0o600)
        _put(files[0], signed.public_bytes(serialization.Encoding.PEM), 0o644)
        return signed.serial_number


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, name[:64])])


def _names_of(hosts: Sequence[str]) -> Iterator[x509.GeneralName]:
    for host in hosts:
        try:
            yield x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            yield x509.DNSName(host)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=days))
    )


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _put(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole, in place of the one before."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
