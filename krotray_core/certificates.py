"""How long the certificates on the way to a server are still good: our CA's, ours, and the one that the server shows."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509

from krotray_core.xray.tls import Tls

# Renewing takes a person who has time for it.
SOON = timedelta(days=30)
CONNECT_SECONDS, HANDSHAKE_SECONDS = 3.0, 3.0


@dataclass(frozen=True, slots=True)
class Term:
    """One certificate (or several that stand for one thing) and the moment after which it is good for nothing."""

    whose: str
    until: datetime


def of_files(tls: Tls) -> list[Term]:
    """Those in our own files. Of several CAs the one that lives longest, of a chain of ours the one that ends first.

    Raises OSError for a file that cannot be read, ValueError for one that holds no certificate.
    """
    terms = [Term("the CA's certificate", max(_ends(tls.ca)))]
    if tls.cert is not None:
        terms.append(Term("our certificate", min(_ends(tls.cert))))
    return terms


def of_peer(host: str, port: int, tls: Tls) -> Term:
    """The one that a server shows, whoever signed it: gRPC says only that it cannot connect. Takes some seconds at most.

    Raises OSError (ssl.SSLError among it) when there is none to be had, ValueError when it cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is looked at and not trusted, and nothing is said over this connection.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if tls.cert and tls.key:
        with suppress(OSError, ValueError):  # whoever looks at the files says so; most servers show theirs first
            context.load_cert_chain(tls.cert, tls.key, password="")
    with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as plain:
        # A socket's own timeout begins anew with each byte.
        other = plain.dup()
        end = threading.Timer(HANDSHAKE_SECONDS, _hang_up, [other])
        end.start()
        try:
            with context.wrap_socket(plain, server_hostname=None if _is_address(host) else host) as secure:
                shown = secure.getpeercert(binary_form=True)
        finally:
            end.cancel()
            other.close()
    if not shown:
        raise ValueError("it shows no certificate")
    return Term("the server's certificate", x509.load_der_x509_certificate(shown).not_valid_after_utc)


def _ends(path: str) -> list[datetime]:
    return [one.not_valid_after_utc for one in x509.load_pem_x509_certificates(Path(path).read_bytes())]


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
