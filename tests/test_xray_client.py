"""The gRPC client against real Xray servers: what they say is understood, and a server that comes back is found at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from krotray_core.errors import (
    XrayError,
    XrayInboundMissing,
    XrayServiceMissing,
    XrayUnavailable,
    XrayUserExists,
)
from krotray_core.xray import channels
from krotray_core.xray.client import DEADLINE_SECONDS, IN_FLIGHT, XrayClient
from krotray_core.xray.operations import Account, Add, Remove, same_key
from sandbox.parts import XrayNode
from sandbox.process import free_port, wait_until
from sandbox.world import World


@pytest.fixture
def node(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[XrayNode]:
    """An Xray of the test's own."""
    assert world
    made = XrayNode("own", tmp_path_factory.mktemp("node"), grpc_port=free_port(), vless_port=free_port())
    yield made
    made.process.kill()


@pytest.fixture
def xray(node: XrayNode) -> XrayClient:
    """Its client."""
    return client_of(node)


def client_of(node: XrayNode, tag: str = "vless-in") -> XrayClient:
    """A client of this Xray."""
    return XrayClient(f"127.0.0.1:{node.grpc_port}", tag)


def test_added_twice_and_removed_twice_it_is_fine(xray: XrayClient) -> None:
    key = uuid4()
    assert xray.apply([Add("user_1", key)]) == [None]
    assert xray.apply([Add("user_1", key)]) == [None]
    assert xray.users() == {"user_1": Account(key)}
    assert xray.apply([Remove("user_1")]) == [None]
    assert xray.apply([Remove("user_1")]) == [None]
    assert xray.users() == {}


def test_another_key_replaces_the_one_that_is_there(xray: XrayClient) -> None:
    old, new, same = uuid4(), uuid4(), uuid4()
    xray.apply([Add("user_1", old), Add("user_2", same)])
    assert xray.apply([Add("user_1", new), Add("user_2", same), Add("user_3", same)]) == [None] * 3
    assert xray.users() == {"user_1": Account(new), "user_2": Account(same), "user_3": Account(same)}


def test_a_thousand_in_one_go(xray: XrayClient) -> None:
    people = {f"user_{number}": uuid4() for number in range(1000)}
    assert xray.apply([Add(email, key) for email, key in people.items()]) == [None] * 1000
    assert {email: account.key for email, account in xray.users().items()} == people
    assert xray.count() == 1000
    half = list(people)[::2]
    assert xray.apply([Remove(email) for email in half]) == [None] * 500
    assert set(xray.users()) == set(people) - set(half)


def test_an_unknown_inbound_is_told_apart(node: XrayNode) -> None:
    stranger = client_of(node, tag="nope")
    with pytest.raises(XrayInboundMissing):
        stranger.users()
    outcomes = stranger.apply([Add("user_1", uuid4()), Remove("user_1")])
    assert [type(outcome) for outcome in outcomes] == [XrayInboundMissing, XrayInboundMissing]


def test_a_malformed_key_is_a_final_error(xray: XrayClient) -> None:
    outcome = xray.apply([Add("user_1", "not-a-uuid-but-too-long-for-a-name-that-xray-would-map")])[0]  # type: ignore[arg-type]
    assert isinstance(outcome, XrayError)
    assert not isinstance(outcome, XrayUserExists)


def test_nobody_there(world: World) -> None:
    assert world
    nobody = XrayClient(f"127.0.0.1:{free_port()}", "vless-in")
    with pytest.raises(XrayUnavailable):
        nobody.uptime()
    began = time.monotonic()
    outcomes = nobody.apply([Remove(f"user_{number}") for number in range(5 * IN_FLIGHT)])
    assert all(isinstance(outcome, XrayUnavailable) for outcome in outcomes)
    assert len(outcomes) == 5 * IN_FLIGHT
    assert time.monotonic() - began < 2 * DEADLINE_SECONDS, "one deadline, not one a window"


def test_a_frozen_server_costs_one_deadline(node: XrayNode, xray: XrayClient) -> None:
    xray.uptime()
    node.process.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(XrayUnavailable):
            xray.uptime()
        assert time.monotonic() - began < DEADLINE_SECONDS + 1
    finally:
        node.process.signal(signal.SIGCONT)


def test_a_server_that_comes_back_is_found_within_two_seconds(node: XrayNode, xray: XrayClient) -> None:
    """gRPC's own back-off would let it wait for up to two minutes."""
    xray.apply([Add("user_1", uuid4())])
    node.crash()
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:  # long enough for a back-off to grow
        with pytest.raises(XrayUnavailable):
            xray.uptime()
    node.start()
    back = time.monotonic()
    wait_until(lambda: answers(xray), seconds=2.5, what="the channel to come back")
    assert time.monotonic() - back < 2.5
    assert xray.users() == {}, "a restarted Xray has forgotten everybody"


def answers(xray: XrayClient) -> bool:
    """Whether the server says how long it is up."""
    try:
        return xray.uptime() >= 0
    except XrayUnavailable:
        return False


def test_a_child_makes_a_channel_of_its_own(xray: XrayClient, node: XrayNode) -> None:
    xray.uptime()
    parents = channels.channel(f"127.0.0.1:{node.grpc_port}")
    child = os.fork()
    if not child:  # no pytest in here: only the exit code speaks
        try:
            own = client_of(node)
            right = own.uptime() >= 0 and channels.channel(f"127.0.0.1:{node.grpc_port}") is not parents
        except BaseException:
            right = False
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert xray.uptime() >= 0


def test_the_cut_off_rule_holds_just_who_it_should(xray: XrayClient) -> None:
    assert xray.rules() == []
    assert xray.cut_off(["user_2", "user_1"])
    assert xray.rules() == ["krotray-cutoff-1"]
    assert xray.cut_off(["user_1"])
    assert xray.rules() == ["krotray-cutoff-2"]
    assert xray.cut_off([])
    assert xray.rules() == []


@pytest.mark.parametrize(("routing", "blackhole"), [(False, True), (True, False)])
def test_a_server_that_cannot_cut_off_says_so(
    tmp_path_factory: pytest.TempPathFactory, routing: bool, blackhole: bool
) -> None:
    node = XrayNode(
        "plain",
        tmp_path_factory.mktemp("node"),
        grpc_port=free_port(),
        vless_port=free_port(),
        with_routing_api=routing,
        with_blackhole=blackhole,
    )
    try:
        xray = client_of(node)
        assert xray.cut_off(["user_1"]) is False
        if not routing:
            with pytest.raises(XrayServiceMissing):
                xray.rules()
    finally:
        node.process.kill()


def test_keys_are_the_same_where_xray_takes_them_for_the_same() -> None:
    one = UUID("11111111-2222-3333-4444-555555555555")
    assert same_key(one, UUID("11111111-2222-9999-4444-555555555555"))
    assert not same_key(one, UUID("11111111-2222-3333-4445-555555555555"))
