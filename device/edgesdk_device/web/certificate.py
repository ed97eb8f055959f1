"""A certificate for a while: a phone's browser gives the camera to HTTPS pages only."""

import datetime
import ipaddress
import socket
import ssl
import tempfile
from pathlib import Path

from edgesdk.errors import MissingPackageError

VALID = datetime.timedelta(days=397)  # a camera's page may run for long; Apple's browsers take no longer one


def make_context(host: str) -> ssl.SSLContext:
    """A TLS server's context with a new self-signed certificate for `host`, this machine's name and loopback.

    The private key leaves memory only for the moment in which OpenSSL reads it.

    Raises:
        MissingPackageError: if cryptography is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID
    except ImportError as missing:
        raise MissingPackageError("cryptography", "phone", "an HTTPS page") from missing
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edgesdk phone")])
    now = datetime.datetime.now(datetime.UTC)
    places = [_place(x509, text) for text in dict.fromkeys((host, socket.gethostname(), "localhost", "127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # a phone's clock may be behind
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName(places), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:  # readable by this user only
        path = Path(folder) / "chain.pem"
        path.write_bytes(secret + certificate.public_bytes(pem))
        context.load_cert_chain(path)
    return context


def _place(x509, text: str):  # type: ignore[no-untyped-def]
    try:
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return x509.DNSName(text.encode("idna").decode())
