"""Made-up certificates, and the smallest proxy with TLS that a gRPC client will talk to."""

from __future__ import annotations

import contextlib
import datetime
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from krotray_core import server_checks, servers
from krotray_core.models import Server
from krotray_core.xray.tls import Tls
from sandbox.world import ROOT

YEAR = datetime.timedelta(days=365)
DEPLOYED = ROOT / "deploy" / "xray"


def filled(template: str, **values: object) -> str:
    """A configuration of `deploy/xray` as an admin completes it."""
    return re.sub(r"@([A-Z]+)@", lambda found: str(values[found[1]]), _settings(DEPLOYED / template))


def _settings(path: Path) -> str:
    """Without the comments, which mention the placeholders."""
    return re.sub(r"^[#;].*\n", "", path.read_text(), flags=re.MULTILINE)


class Authority:
    """A CA with a folder of its own: `ca.pem`, and a pair for each name that it signs."""

    def __init__(self, folder: Path, *, good_for: datetime.timedelta = YEAR) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(folder.name)
        builder = _builder(self._name, self._name, self._key, good_for).add_extension(
            x509.BasicConstraints(True, 0), True
        )
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        (folder / "ca.pem").write_bytes(_pem(builder.add_extension(usage, True).sign(self._key, hashes.SHA256())))
        self.issue("server", ExtendedKeyUsageOID.SERVER_AUTH)
        self.issue("client", ExtendedKeyUsageOID.CLIENT_AUTH)

    def issue(self, name: str, purpose: x509.ObjectIdentifier, *, good_for: datetime.timedelta = YEAR) -> None:
        """Signs a new pair, `name`.pem and `name`.key, good for 127.0.0.1; an older one of that name is replaced."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            _builder(_name(name), self._name, key, good_for)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
            .add_extension(x509.ExtendedKeyUsage([purpose]), False)
            .sign(self._key, hashes.SHA256())
        )
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (self.folder / f"{name}.pem").write_bytes(_pem(made))

    def renew_client(self) -> None:
        """A new client certificate with a new key, at the same place."""
        self.issue("client", ExtendedKeyUsageOID.CLIENT_AUTH)

    @property
    def ca(self) -> str:
        """Its own certificate."""
        return str(self.folder / "ca.pem")

    def tls(self, *, client: Authority | None = None) -> Tls:
        """What the service is told: trust this CA, and show the certificate that `client` signed (ours without)."""
        folder = (client or self).folder
        return Tls(self.ca, str(folder / "client.pem"), str(folder / "client.key"))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, good_for: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    serial = x509.random_serial_number()
    return x509.CertificateBuilder(issuer, subject, key.public_key(), serial, now - YEAR, now + good_for)


class Proxy:
    """Ends TLS on a port of loopback and passes the bytes on to another one. Remembers whose certificates it has seen."""

    def __init__(self, authority: Authority, upstream: int, *, h2: bool = True) -> None:
        self._upstream = upstream
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
        self._context.load_verify_locations(authority.ca)
        self._context.verify_mode = ssl.CERT_REQUIRED
        if h2:
            self._context.set_alpn_protocols(["h2"])
        self.clients: list[int] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[plain], daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain, socket.create_connection(("127.0.0.1", self._upstream)) as inner:
            plain.settimeout(10)  # for the handshake
            with self._context.wrap_socket(plain, server_side=True) as outer:
                outer.settimeout(None)
                shown = outer.getpeercert(binary_form=True)
                self.clients.append(x509.load_der_x509_certificate(shown or b"").serial_number)
                self._open += [outer, inner]
                threading.Thread(target=_pass_on, args=[inner, outer], daemon=True).start()
                _pass_on(outer, inner)

    def hang_up(self) -> None:
        """Ends the connections that there are."""
        while self._open:
            _end(self._open.pop())

    def stop(self) -> None:
        """Listens no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    _end(source)
    _end(target)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not SSLSocket's own, which takes the TLS away and lets the other thread send in plain text.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(authority: Authority, upstream: int, *, h2: bool = True) -> Iterator[Proxy]:
    """A proxy for the length of a `with`."""
    made = Proxy(authority, upstream, h2=h2)
    try:
        yield made
    finally:
        made.stop()


def add(port: int, tls: Tls | None, host: str = "127.0.0.1") -> Server:
    """A server behind a proxy."""
    return servers.add(
        name="Main", host=host, grpc_port=port, max_users=1000, inbound_tag=None, vless_url_template=None, tls=tls
    )


def way(name: str = "Main") -> tuple[str, str]:
    """What a check says about the way to the server."""
    found = server_checks.check(name)[1]
    return found.level, found.text
