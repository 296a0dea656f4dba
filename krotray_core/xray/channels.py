"""gRPC channels: one for each server and process, made on first use, never carried across a fork."""

from __future__ import annotations

import os

import grpc

from krotray_core.errors import XrayUnavailable
from krotray_core.xray.tls import Tls

# Without these gRPC waits up to two minutes before it tries a server again, and a restarted Xray stays without its users.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),  # a proxy variable is for web pages, not for our servers
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # the list of a full server
)


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
    ca, cert, key = tls.contents()
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, cert), options=_OPTIONS)


# A channel made before a fork hangs in the child; the child leaves the parent's alone and makes its own.
os.register_at_fork(after_in_child=_channels.clear)
