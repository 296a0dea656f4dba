"""One Xray server as we use it: users in and out in pipelined batches, the cut-off rule, its counts. Each call has a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import grpc
from google.protobuf.message import Message

from krotray_core import tracing
from krotray_core.errors import XrayError, XrayServiceMissing, XrayUnavailable, XrayUserExists, XrayUserNotFound
from krotray_core.xray import channels
from krotray_core.xray.faults import typed
from krotray_core.xray.operations import CUTOFF_PREFIX, Account, Add, Operation, Outcome, Remove
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
from krotray_core.xray.tls import Tls

DEADLINE_SECONDS = 3.0
LIST_DEADLINE_SECONDS = 10.0
IN_FLIGHT = 200  # measured: more gains nothing on loopback, and at 40 ms this is still 2,800 adds a second

BLACKHOLE = "xray.proxy.blackhole.Config"

_TRAFFIC_OF, _DIRECTIONS = "user>>>", ("traffic>>>uplink", "traffic>>>downlink")


class XrayClient:
    """The gRPC API of the server at `target` (host:port); `tag` names the inbound that holds our users."""

    def __init__(self, target: str, tag: str, tls: Tls | None = None) -> None:
        """Raises XrayUnavailable when the files of `tls` cannot be read."""
        self._tag = tag
        channel = channels.channel(target, tls)
        self._handler = handler_pb2_grpc.HandlerServiceStub(channel)  # type: ignore[no-untyped-call] # generated
        self._routing = routing_pb2_grpc.RoutingServiceStub(channel)  # type: ignore[no-untyped-call] # generated
        self._stats = stats_pb2_grpc.StatsServiceStub(channel)  # type: ignore[no-untyped-call] # generated

    def uptime(self) -> int:
        """Seconds since Xray started. Raises XrayUnavailable, XrayServiceMissing."""
        return int(_call(self._stats.GetSysStats, stats_pb2.SysStatsRequest()).uptime)

    def online(self) -> dict[str, list[str]]:
        """The addresses from which each e-mail is connected now, where the policy says `statsUserOnline`.

        Raises XrayServiceMissing (no StatsService, or an Xray without this call), XrayUnavailable.
        """
        answer = _call(self._stats.GetUsersStats, stats_pb2.GetUsersStatsRequest(), seconds=LIST_DEADLINE_SECONDS)
        return {user.email: sorted(entry.ip for entry in user.ips) for user in answer.users if user.ips}

    def traffic(self) -> dict[str, int]:
        """The bytes, up and down together, that each e-mail (in lower case) has used since Xray started.

        Empty where `stats` or the policy's `statsUserUplink` and `statsUserDownlink` are not set. Raises XrayServiceMissing,
        XrayUnavailable.
        """
        request = stats_pb2.QueryStatsRequest(pattern=_TRAFFIC_OF)
        used: dict[str, int] = {}
        for counter in _call(self._stats.QueryStats, request, seconds=LIST_DEADLINE_SECONDS).stat:
            kind, _, named = counter.name.partition(">>>")
            email, _, direction = named.partition(">>>")
            if kind == "user" and direction in _DIRECTIONS:
                used[email.lower()] = used.get(email.lower(), 0) + max(counter.value, 0)
        return used

    def count(self) -> int:
        """How many users the inbound holds. Raises XrayInboundMissing, XrayUnavailable."""
        request = handler_pb2.GetInboundUserRequest(tag=self._tag)
        return int(_call(self._handler.GetInboundUsersCount, request).count)

    def users(self) -> dict[str, Account]:
        """Everybody on the inbound, by e-mail in lower case. Raises XrayInboundMissing, XrayUnavailable."""
        request = handler_pb2.GetInboundUserRequest(tag=self._tag)
        answer = _call(self._handler.GetInboundUsers, request, seconds=LIST_DEADLINE_SECONDS)
        return {user.email.lower(): _account(user.account) for user in answer.users if user.email}

    def apply(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Sends all operations, many in flight at a time, and says of each, in order, how it ended.

        An Add of a user who is there with the same key, and a Remove of one who is not, count as done; an Add of one who
        is there with another key replaces the key. No exception leaves here for what the server or the network did.
        """
        outcomes = self._in_turn(operations)
        there = [
            position
            for position, (operation, outcome) in enumerate(zip(operations, outcomes, strict=True))
            if isinstance(operation, Add) and isinstance(outcome, XrayUserExists)
        ]
        if there:
            adds = [operations[position] for position in there]
            for position, outcome in zip(there, self._replace(adds), strict=True):
                outcomes[position] = outcome
        return outcomes

    def _in_turn(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Removes go first: Xray forgets the key of whom it removes, also where somebody else has come with the same one."""
        outcomes: list[Outcome] = [None] * len(operations)
        for kind in (Remove, Add):
            positions = [position for position, operation in enumerate(operations) if isinstance(operation, kind)]
            answers = self._pipeline([operations[position] for position in positions])
            for position, answer in zip(positions, answers, strict=True):
                outcomes[position] = answer
            if kind is Remove and answers and all(isinstance(answer, XrayUnavailable) for answer in answers):
                return answers[:1] * len(operations)  # nobody is there
        return outcomes

    def _pipeline(self, operations: Sequence[Operation]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        follows = tracing.grpc_metadata()
        for start in range(0, len(operations), IN_FLIGHT):
            futures = [
                self._handler.AlterInbound.future(self._request(operation), timeout=DEADLINE_SECONDS, metadata=follows)
                for operation in operations[start : start + IN_FLIGHT]
            ]
            answers = [_outcome(future) for future in futures]
            outcomes += answers
            if all(isinstance(answer, XrayUnavailable) for answer in answers):
                # Nobody is there: no use in waiting a deadline for each of the other windows.
                return outcomes + answers[:1] * (len(operations) - len(outcomes))
        return outcomes

    def _replace(self, adds: Sequence[Operation]) -> list[Outcome]:
        """Adds that met a user of the same e-mail: done if the key is the same, else the old one makes way."""
        try:
            keys = self.users()
        except (XrayError, XrayUnavailable) as error:
            return [error] * len(adds)
        outcomes: list[Outcome] = [None] * len(adds)
        other = [position for position, add in enumerate(adds) if not _holds(keys, add)]
        self._pipeline([Remove(adds[position].email) for position in other])  # what fails here fails again below
        for position, outcome in zip(other, self._pipeline([adds[position] for position in other]), strict=True):
            outcomes[position] = outcome
        return outcomes

    def _request(self, operation: Operation) -> handler_pb2.AlterInboundRequest:
        packed: Message
        match operation:
            case Add(email, uuid, flow):
                account = _pack(vless_pb2.Account(id=str(uuid), flow=flow, encryption="none"))
                packed = handler_pb2.AddUserOperation(user=user_pb2.User(email=email, account=account))
            case Remove(email):
                packed = handler_pb2.RemoveUserOperation(email=email)
        return handler_pb2.AlterInboundRequest(tag=self._tag, operation=_pack(packed))

    def blackhole(self) -> str | None:
        """The tag of an outbound that swallows everything, if the server has one. Raises XrayUnavailable."""
        answer = _call(self._handler.ListOutbounds, handler_pb2.ListOutboundsRequest())
        return next((o.tag for o in answer.outbounds if o.proxy_settings.type == BLACKHOLE and o.tag), None)

    def rules(self) -> list[str]:
        """The tags of the server's routing rules, in the order in which they are asked ("" where a rule has no tag).

        Raises XrayServiceMissing where the server does not offer RoutingService, XrayUnavailable.
        """
        answer = _call(self._routing.ListRule, routing_pb2.ListRuleRequest())
        return [rule.rule_tag for rule in answer.rules]

    def cut_off(self, emails: Iterable[str]) -> bool:
        """Makes the cut-off rule hold exactly these e-mails: whatever is still connected under them leads nowhere.

        False where the server cannot do that (no RoutingService, or no blackhole outbound): it is served without.
        Raises XrayUnavailable, XrayError.
        """
        try:
            return self._rewrite(sorted(emails))
        except XrayServiceMissing:
            return False

    def can_route(self) -> bool:
        """Whether routing rules can be changed at all. Raises XrayUnavailable, XrayError."""
        try:
            # Taking away a rule that is not there succeeds where there is a router, and changes nothing.
            _call(self._routing.RemoveRule, routing_pb2.RemoveRuleRequest(rule_tag=f"{CUTOFF_PREFIX}none"))
        except XrayServiceMissing:
            return False
        return True

    def _rewrite(self, emails: list[str]) -> bool:
        old = [tag for tag in self.rules() if tag.startswith(CUTOFF_PREFIX)]
        if emails:
            outbound = self.blackhole()
            if outbound is None:
                return False
            # The new rule is there before the old one goes, so that nobody slips through in between.
            taken = {int(tag.removeprefix(CUTOFF_PREFIX)) for tag in old if tag.removeprefix(CUTOFF_PREFIX).isdigit()}
            number = max(taken, default=0) + 1
            rule = router_pb2.RoutingRule(tag=outbound, user_email=emails, rule_tag=f"{CUTOFF_PREFIX}{number}")
            config = _pack(router_pb2.Config(rule=[rule]))
            _call(self._routing.AddRule, routing_pb2.AddRuleRequest(config=config, should_append=True))
        for tag in old:
            _call(self._routing.RemoveRule, routing_pb2.RemoveRuleRequest(rule_tag=tag))
        return True


def _holds(held: dict[str, Account], operation: Operation) -> bool:
    there = held.get(operation.email.lower())
    return isinstance(operation, Add) and there is not None and there.opens_like(operation.account)


def _pack(message: Message) -> serial_pb2.TypedMessage:
    return serial_pb2.TypedMessage(type=message.DESCRIPTOR.full_name, value=message.SerializeToString())


def _account(packed: serial_pb2.TypedMessage) -> Account:
    if packed.type != vless_pb2.Account.DESCRIPTOR.full_name:
        return Account(None)
    account = vless_pb2.Account.FromString(packed.value)
    try:
        return Account(UUID(account.id), account.flow)
    except ValueError:
        return Account(None)


def _call(method: Callable[..., Any], request: Message, *, seconds: float = DEADLINE_SECONDS) -> Any:
    try:
        return method(request, timeout=seconds, metadata=tracing.grpc_metadata())
    except grpc.RpcError as error:
        raise typed(error) from None


def _outcome(future: Any) -> Outcome:
    try:
        future.result()
    except grpc.RpcError as error:
        fault = typed(error)
        return None if isinstance(fault, XrayUserNotFound) else fault
    return None
