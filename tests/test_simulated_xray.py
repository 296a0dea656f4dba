"""The simulated Xray is held to the real one: asked the same, in whatever order, both give the same answers, word for word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from krotray_core.errors import XrayUnavailable
from krotray_core.xray.client import XrayClient
from krotray_core.xray.operations import Add, Remove
from krotray_core.xray.stubs import (
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
from sandbox.parts import XrayNode
from sandbox.process import free_port, wait_until
from sandbox.simulated_xray import SimulatedXray

SECONDS = 10
KEYS = [str(UUID(int=number)) for number in range(3)]
EMAILS = ["user_1", "USER_1", "user_2", "somebody@else", ""]


@dataclass
class Asked:
    """A server's three services, and what is left on it by an example."""

    target: str
    calls: dict[str, Callable[..., Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        channel = grpc.insecure_channel(self.target)
        for stub in (
            handler_pb2_grpc.HandlerServiceStub(channel),
            routing_pb2_grpc.RoutingServiceStub(channel),
            stats_pb2_grpc.StatsServiceStub(channel),
        ):
            self.calls |= vars(stub)

    def answer(self, method: str, request: Message) -> object:
        """What it says: the answer in an order that does not depend on chance, or the status with its text."""
        try:
            said = self.calls[method](request, timeout=SECONDS)
        except grpc.RpcError as error:
            return error.code(), error.details()
        if isinstance(said, handler_pb2.GetInboundUserResponse):
            return sorted(user.SerializeToString(deterministic=True) for user in said.users)
        if isinstance(said, handler_pb2.ListOutboundsResponse):
            return sorted((outbound.tag, outbound.proxy_settings.type) for outbound in said.outbounds)
        return said

    def forget(self) -> None:
        """As it was before the first question."""
        client = XrayClient(self.target, "vless-in")
        client.apply([Remove(email) for email in client.users()])
        none = packed(router_pb2.Config())
        self.answer("AddRule", routing_pb2.AddRuleRequest(config=none, should_append=False))
        assert (client.count(), client.rules()) == (0, [])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asked, Asked]]:
    """A real Xray and a simulated one."""
    folder = tmp_path_factory.mktemp("nodes")
    real = XrayNode("real", folder, grpc_port=free_port(), vless_port=free_port())
    simulated = SimulatedXray("simulated", folder, grpc_port=free_port(), vless_port=free_port())
    yield Asked(f"127.0.0.1:{real.grpc_port}"), Asked(f"127.0.0.1:{simulated.grpc_port}")
    real.stop()
    simulated.stop()


def packed(message: Message) -> serial_pb2.TypedMessage:
    """As Xray wants messages inside messages."""
    return serial_pb2.TypedMessage(type=message.DESCRIPTOR.full_name, value=message.SerializeToString())


def adding(email: str, key: str, flow: str) -> Message:
    """Let somebody in."""
    account = packed(vless_pb2.Account(id=key, flow=flow))
    return handler_pb2.AddUserOperation(user=user_pb2.User(email=email, account=account))


def ruling(tag: str, emails: list[str], append: bool) -> tuple[str, Message]:
    """Add a rule."""
    rule = router_pb2.RoutingRule(tag="block", user_email=emails, rule_tag=tag)
    config = packed(router_pb2.Config(rule=[rule]))
    return "AddRule", routing_pb2.AddRuleRequest(config=config, should_append=append)


tags = st.sampled_from(["vless-in", "vless-in", "vless-in", "no-such-inbound"])
emails = st.sampled_from(EMAILS)
# Whole keys, names that Xray makes a key of, and what is neither.
keys = st.sampled_from([*KEYS, KEYS[1].replace("-", ""), "a name", "я" * 15, "x" * 40, ""])
rule_tags = st.sampled_from(["krotray-cutoff-1", "krotray-cutoff-2", ""])
operations = st.one_of(
    st.builds(adding, emails, keys, st.sampled_from(["", "xtls-rprx-vision"])),
    st.builds(lambda email: handler_pb2.RemoveUserOperation(email=email), emails),
)
questions = st.one_of(
    st.builds(
        lambda tag, operation: ("AlterInbound", handler_pb2.AlterInboundRequest(tag=tag, operation=packed(operation))),
        tags,
        operations,
    ),
    st.builds(
        lambda method, tag, email: (method, handler_pb2.GetInboundUserRequest(tag=tag, email=email)),
        st.sampled_from(["GetInboundUsers", "GetInboundUsersCount"]),
        tags,
        emails,
    ),
    st.just(("ListOutbounds", handler_pb2.ListOutboundsRequest())),
    st.builds(ruling, rule_tags, st.lists(emails.filter(bool), max_size=3), st.just(True)),
    st.builds(ruling, rule_tags, st.just(["user_1"]), st.booleans()),
    st.builds(lambda tag: ("RemoveRule", routing_pb2.RemoveRuleRequest(rule_tag=tag)), rule_tags),
    st.just(("ListRule", routing_pb2.ListRuleRequest())),
    st.just(("GetUsersStats", stats_pb2.GetUsersStatsRequest())),
    st.just(("QueryStats", stats_pb2.QueryStatsRequest(pattern="user>>>"))),
)
LOOKS = [
    ("GetInboundUsers", handler_pb2.GetInboundUserRequest(tag="vless-in")),
    ("ListRule", routing_pb2.ListRuleRequest()),
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(questions, min_size=1, max_size=20))
def test_the_same_questions_have_the_same_answers(both: tuple[Asked, Asked], asked: list[tuple[str, Message]]) -> None:
    for server in both:
        server.forget()
    for method, request in [*asked, *LOOKS]:
        real, simulated = (server.answer(method, request) for server in both)
        assert simulated == real, (method, request)


def test_an_unknown_operation_is_refused_in_the_same_words(both: tuple[Asked, Asked]) -> None:
    request = handler_pb2.AlterInboundRequest(tag="vless-in", operation=serial_pb2.TypedMessage(type="nonsense"))
    real, simulated = (server.answer("AlterInbound", request) for server in both)
    assert simulated == real


@pytest.mark.parametrize("kind", [XrayNode, SimulatedXray])
def test_both_forget_everybody_when_they_are_killed(kind: type[XrayNode] | type[SimulatedXray], tmp_path: Path) -> None:
    node = kind("mortal", tmp_path, grpc_port=free_port(), vless_port=free_port())
    try:
        client = XrayClient(f"127.0.0.1:{node.grpc_port}", "vless-in")
        assert client.apply([Add("user_9", UUID(int=9))]) == [None]
        assert client.cut_off(["user_8"])
        node.crash()
        node.start()
        wait_until(lambda: uptime(client) is not None, seconds=5, what="the channel to come back")
        assert (client.users(), client.rules(), uptime(client) in range(5)) == ({}, [], True)
    finally:
        node.stop()


def uptime(client: XrayClient) -> int | None:
    """Seconds; None while it does not answer."""
    try:
        return client.uptime()
    except XrayUnavailable:
        return None
