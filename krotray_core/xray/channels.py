"""gRPC channels: one for each server and process, made on first use, never carried across a fork."""

from __future__ import annotations

import os
from functools import cache

import grpc

# Without these gRPC waits up to two minutes before it tries a server again, and a restarted Xray stays without its users.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),  # a proxy variable is for web pages, not for our servers
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # the list of a full server
)


@cache
def channel(target: str) -> grpc.Channel:
    """This process's channel to `host:port`. Plain text: the port must be on loopback or a private network."""
    return grpc.insecure_channel(target, options=_OPTIONS)


# A channel made before a fork hangs in the child; the child leaves the parent's alone and makes its own.
os.register_at_fork(after_in_child=channel.cache_clear)
