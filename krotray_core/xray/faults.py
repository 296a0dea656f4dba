"""Xray's failures, told apart. Nearly all come as status UNKNOWN: only the text says which one it is."""

from __future__ import annotations

import re

import grpc

from krotray_core.errors import (
    XrayError,
    XrayInboundMissing,
    XrayServiceMissing,
    XrayUnavailable,
    XrayUserExists,
    XrayUserNotFound,
)

_WEATHER = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
}

# The words of xray-core 1.8 to 26: proxy/vless/validator.go and app/proxyman/inbound.
_TEXTS = (
    (re.compile(r"User .* already exists"), XrayUserExists),
    (re.compile(r"User .* not found"), XrayUserNotFound),
    (re.compile(r"handler not found"), XrayInboundMissing),
    # What RoutingService says where the configuration has no `routing` section, and so no router.
    (re.compile(r"not enough information for making a decision"), XrayServiceMissing),
)


def typed(error: grpc.RpcError) -> XrayError | XrayUnavailable:
    """The error of ours that says what a call's failure means."""
    status, text = error.code(), error.details() or ""
    if status in _WEATHER:
        return XrayUnavailable(f"{status.name}: {text}")
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return XrayServiceMissing(text)
    for pattern, kind in _TEXTS:
        if pattern.search(text):
            return kind(text)
    return XrayError(f"{status.name}: {text}")
