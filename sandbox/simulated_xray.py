"""`python -m sandbox.simulated_xray PORT`: Xray's gRPC API with no VPN behind it, for fleets that no one machine could hold.

To us it is an Xray: tests/test_simulated_xray.py asks it and the real one the same and wants the same answers. Nobody can
connect through it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID, uuid5

import grpc
from google.protobuf.message import Message

from krotray_core.xray.stubs import (
    core_pb2,
    handler_pb2,
    handler_pb2_grpc,
    router_pb2,
    routing_pb2,
    routing_pb2_grpc,
    serial_pb2,
    stats_pb2,
    stats_pb2_grpc,
    user_pb2,
    vless_pb2,
)
from sandbox.process import Process, listening

TAG = "vless-in"
OUTBOUNDS = {"direct": "xray.proxy.freedom.Config", "block": "xray.proxy.blackhole.Config"}
ANSWERING_AT_ONCE = 4
# common/uuid takes what is no longer than this for a name and makes a key of it.
LONGEST_NAME = 30
NO_UUID = UUID(int=0)


class Refusal(Exception):
    """What Xray says no with; the text is all that tells one reason from another."""


class _Inbound:
    """The users of a VLESS inbound, by e-mail in lower case. A user without one is let in, but never listed."""

    def __init__(self) -> None:
        self._users: dict[str, user_pb2.User] = {}
        self._lock = threading.Lock()

    def add(self, user: user_pb2.User) -> None:
        """Raises Refusal for a key that is none, and for an e-mail that is there."""
        account = vless_pb2.Account.FromString(user.account.value)
        account.id = str(_key(account.id))
        user.account.value = account.SerializeToString()
        with self._lock:
            if user.email.lower() in self._users:
                raise Refusal(f"proxy/vless: User {user.email} already exists.")
            if user.email:
                self._users[user.email.lower()] = user

    def remove(self, email: str) -> None:
        """Raises Refusal for an e-mail that is not there."""
        if not email:
            raise Refusal("proxy/vless: Email must not be empty.")
        with self._lock:
            if self._users.pop(email.lower(), None) is None:
                raise Refusal(f"proxy/vless: User {email} not found.")

    def listed(self, email: str) -> list[user_pb2.User]:
        """Everybody, or the one with this e-mail (an empty one where there is none)."""
        with self._lock:
            if not email:
                return list(self._users.values())
            return [self._users.get(email.lower(), user_pb2.User())]


def _key(text: str) -> UUID:
    if 1 <= len(text.encode()) <= LONGEST_NAME:
        return uuid5(NO_UUID, text)
    try:
        return UUID(text)
    except ValueError:
        reason = f"common/uuid: invalid UUID: {text}"
        raise Refusal(
            f"app/proxyman/command: failed to parse user > proxy/vless: failed to parse ID > {reason}"
        ) from None


def _refuses(answer: Callable[..., Message]) -> Callable[..., Message]:
    """A call whose Refusal reaches the client as Xray's do: UNKNOWN, with the text."""

    def method(self: object, request: Any, context: grpc.ServicerContext) -> Message:
        try:
            return answer(self, request)
        except Refusal as refusal:
            _abort(context, str(refusal))

    return method


def _abort(context: grpc.ServicerContext, text: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, text)
    raise AssertionError("abort raises")


class _Handler(handler_pb2_grpc.HandlerServiceServicer):
    def __init__(self) -> None:
        self._inbound = _Inbound()

    def _of(self, tag: str) -> _Inbound:
        if tag != TAG:
            raise Refusal(
                f"app/proxyman/command: failed to get handler: {tag} > app/proxyman/inbound: handler not found: {tag}"
            )
        return self._inbound

    @_refuses
    def AlterInbound(self, request: handler_pb2.AlterInboundRequest) -> Message:
        packed = request.operation
        if packed.type == handler_pb2.AddUserOperation.DESCRIPTOR.full_name:
            self._of(request.tag).add(handler_pb2.AddUserOperation.FromString(packed.value).user)
        elif packed.type == handler_pb2.RemoveUserOperation.DESCRIPTOR.full_name:
            self._of(request.tag).remove(handler_pb2.RemoveUserOperation.FromString(packed.value).email)
        else:
            raise Refusal("app/proxyman/command: unknown operation > proto: not found")
        return handler_pb2.AlterInboundResponse()

    @_refuses
    def GetInboundUsers(self, request: handler_pb2.GetInboundUserRequest) -> Message:
        return handler_pb2.GetInboundUserResponse(users=self._of(request.tag).listed(request.email))

    @_refuses
    def GetInboundUsersCount(self, request: handler_pb2.GetInboundUserRequest) -> Message:
        return handler_pb2.GetInboundUsersCountResponse(count=len(self._of(request.tag).listed("")))

    @_refuses
    def ListOutbounds(self, _request: handler_pb2.ListOutboundsRequest) -> Message:
        there = (
            core_pb2.OutboundHandlerConfig(tag=tag, proxy_settings=serial_pb2.TypedMessage(type=kind))
            for tag, kind in OUTBOUNDS.items()
        )
        return handler_pb2.ListOutboundsResponse(outbounds=there)


class _Routing(routing_pb2_grpc.RoutingServiceServicer):
    def __init__(self) -> None:
        self._rules: list[router_pb2.RoutingRule] = []
        self._lock = threading.Lock()

    @_refuses
    def AddRule(self, request: routing_pb2.AddRuleRequest) -> Message:
        new = router_pb2.Config.FromString(request.config.value).rule
        with self._lock:
            there = list(self._rules) if request.should_append else []
            for rule in new:
                if not rule.user_email:
                    raise Refusal("app/router: this rule has no effective fields")
                if rule.rule_tag and rule.rule_tag in {other.rule_tag for other in there}:
                    raise Refusal(f"app/router: duplicate ruleTag {rule.rule_tag}")
                there.append(rule)
            self._rules = there
        return routing_pb2.AddRuleResponse()

    @_refuses
    def RemoveRule(self, request: routing_pb2.RemoveRuleRequest) -> Message:
        if not request.rule_tag:
            raise Refusal("app/router: empty tag name!")
        with self._lock:
            self._rules = [rule for rule in self._rules if rule.rule_tag != request.rule_tag]
        return routing_pb2.RemoveRuleResponse()

    @_refuses
    def ListRule(self, _request: routing_pb2.ListRuleRequest) -> Message:
        rules = (routing_pb2.ListRuleItem(tag=rule.tag, rule_tag=rule.rule_tag) for rule in self._rules)
        return routing_pb2.ListRuleResponse(rules=rules)


class _Stats(stats_pb2_grpc.StatsServiceServicer):
    def __init__(self) -> None:
        self._began = time.monotonic()

    @_refuses
    def GetSysStats(self, _request: stats_pb2.SysStatsRequest) -> Message:
        return stats_pb2.SysStatsResponse(uptime=int(time.monotonic() - self._began))

    @_refuses
    def GetUsersStats(self, _request: stats_pb2.GetUsersStatsRequest) -> Message:
        return stats_pb2.GetUsersStatsResponse()

    @_refuses
    def QueryStats(self, _request: stats_pb2.QueryStatsRequest) -> Message:
        return stats_pb2.QueryStatsResponse()  # counters begin with the first connection, and nobody can connect


class SimulatedXray:
    """One of them, to be used like `sandbox.parts.XrayNode`: it can be killed and started again on the same port."""

    def __init__(self, name: str, folder: Path, *, grpc_port: int, vless_port: int) -> None:
        """`vless_port` is only written into keys: nobody listens there."""
        self.name, self.grpc_port, self.vless_port = name, grpc_port, vless_port
        self._log = folder / f"{name}.log"
        self.start()

    @property
    def vless_url_template(self) -> str:
        """How a key of this server is written."""
        return f"vless://{{uuid}}@127.0.0.1:{self.vless_port}?encryption=none&type=tcp&security=none#{self.name}"

    def start(self) -> None:
        """Starts it; it remembers no users."""
        command = [sys.executable, "-m", "sandbox.simulated_xray", str(self.grpc_port)]
        self.process = Process(f"Xray {self.name}", command, log=self._log, env=os.environ)
        self.process.wait_ready(lambda: listening(self.grpc_port))

    def crash(self) -> None:
        """kill -9."""
        self.process.kill()

    def stop(self) -> None:
        """Ends it."""
        self.process.stop()


def main() -> None:
    """Answers on a port of loopback until this process ends."""
    server = grpc.server(ThreadPoolExecutor(ANSWERING_AT_ONCE), options=[("grpc.so_reuseport", 0)])
    handler_pb2_grpc.add_HandlerServiceServicer_to_server(_Handler(), server)  # type: ignore[no-untyped-call] # generated
    routing_pb2_grpc.add_RoutingServiceServicer_to_server(_Routing(), server)  # type: ignore[no-untyped-call] # generated
    stats_pb2_grpc.add_StatsServiceServicer_to_server(_Stats(), server)  # type: ignore[no-untyped-call] # generated
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
