"""The TLS in front of an Xray's gRPC API: which files, and whether they will do. Known without gRPC being loaded."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: whom to trust, and (for mutual TLS) who we are."""

    ca: str
    cert: str | None = None
    key: str | None = None

    def digest(self) -> bytes:
        """Changes when the content of a file does. Raises OSError for a file that cannot be read."""
        contents = (Path(name).read_bytes() for name in (self.ca, self.cert, self.key) if name)
        return b"".join(hashlib.sha256(content).digest() for content in contents)

    def contents(self) -> tuple[bytes, bytes | None, bytes | None]:
        """CA, certificate and key. Raises OSError for a file that cannot be read, ValueError for what is no TLS."""
        if (self.cert is None) != (self.key is None):
            raise ValueError("a certificate and its key belong together")
        cert, key = (Path(name).read_bytes() if name else None for name in (self.cert, self.key))
        ca = Path(self.ca).read_bytes()
        self._check()
        return ca, cert, key

    def _check(self) -> None:
        """gRPC takes any bytes, and later says only that it cannot connect."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.ca)
        except ssl.SSLError as error:
            raise ValueError(f"{self.ca} holds no certificates: {_reason(error)}") from None
        if self.cert and self.key:
            try:
                context.load_cert_chain(self.cert, self.key, password="")  # or it would ask on the terminal
            except (ssl.SSLError, ValueError) as error:
                raise ValueError(f"{self.cert} and {self.key} are no pair: {_reason(error)}") from None


def _reason(error: ssl.SSLError | ValueError) -> str:
    return getattr(error, "reason", None) or str(error)
