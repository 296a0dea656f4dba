"""gRPC channels: one for each server and process, made on first use, never carried across a fork."""

from __future__ import annotations

import hashlib
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from krotray_core.errors import XrayUnavailable

# Without these gRPC waits up to two minutes before it tries a server again, and a restarted Xray stays without its users.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),  # a proxy variable is for web pages, not for our servers
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # the list of a full server
)


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

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC makes of them. Raises OSError for a file that cannot be read, ValueError for what is no TLS."""
        if (self.cert is None) != (self.key is None):
            raise ValueError("a certificate and its key belong together")
        ca, cert, key = (Path(name).read_bytes() if name else None for name in (self.ca, self.cert, self.key))
        self._check()
        return grpc.ssl_channel_credentials(ca, key, cert)

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


_channels: dict[tuple[str, Tls | None], tuple[bytes | None, grpc.Channel]] = {}


def channel(target: str, tls: Tls | None = None) -> grpc.Channel:
    """This process's channel to `host:port`. In plain text the port must be on loopback or a private network.

    gRPC reads certificates once, so renewed files get a channel of their own; the old one is left to those who are
    using it, and hangs up when it has been idle. Raises XrayUnavailable when the files are unusable: they may come back.
    """
    try:
        digest = tls.digest() if tls else None
        made = _channels.get((target, tls))
        if made is None or made[0] != digest:
            made = digest, _make(target, tls)
            _channels[target, tls] = made
    except (OSError, ValueError) as error:
        raise XrayUnavailable(f"TLS: {error}") from None
    return made[1]


def _make(target: str, tls: Tls | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(target, options=_OPTIONS)
    return grpc.secure_channel(target, tls.credentials(), options=_OPTIONS)


# A channel made before a fork hangs in the child; the child leaves the parent's alone and makes its own.
os.register_at_fork(after_in_child=_channels.clear)
