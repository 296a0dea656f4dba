"""The limit of everything about Xray: its generated stubs, a channel and nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from krotray_core.xray.stubs import handler_pb2, handler_pb2_grpc, serial_pb2, user_pb2, vless_pb2

TAG, IN_FLIGHT, SECONDS = "vless-in", 200, 10.0


def stub(grpc_port: int) -> handler_pb2_grpc.HandlerServiceStub:
    """A client of the Xray there."""
    return handler_pb2_grpc.HandlerServiceStub(grpc.insecure_channel(f"127.0.0.1:{grpc_port}"))


def addition(email: str, key: str) -> Message:
    """Lets somebody in."""
    user = user_pb2.User(email=email, account=_packed(vless_pb2.Account(id=key, encryption="none")))
    return _altered(handler_pb2.AddUserOperation(user=user))


def removal(email: str) -> Message:
    """Lets somebody in no more."""
    return _altered(handler_pb2.RemoveUserOperation(email=email))


def _altered(operation: Message) -> Message:
    return handler_pb2.AlterInboundRequest(tag=TAG, operation=_packed(operation))


def _packed(message: Message) -> Message:
    return serial_pb2.TypedMessage(type=message.DESCRIPTOR.full_name, value=message.SerializeToString())


def pipelined(
    to: handler_pb2_grpc.HandlerServiceStub,
    emails: Sequence[tuple[str, str]] | Sequence[str],
    *,
    lenient: bool = False,
) -> None:
    """Removes these e-mails, or adds these e-mails with their keys, 200 in flight. `lenient`: whoever is there already may be."""
    for start in range(0, len(emails), IN_FLIGHT):
        requests = [
            removal(one) if isinstance(one, str) else addition(*one) for one in emails[start : start + IN_FLIGHT]
        ]
        for future in [to.AlterInbound.future(request, timeout=SECONDS) for request in requests]:
            try:
                future.result()
            except grpc.RpcError:
                if not lenient:
                    raise


def one_at_a_time(to: handler_pb2_grpc.HandlerServiceStub, many: int) -> float:
    """AddUser calls a second, each after the answer to the one before. Everybody is taken out again."""
    people = [(f"bare_{number}", str(uuid4())) for number in range(many)]
    began = time.perf_counter()
    for email, key in people:
        to.AlterInbound(addition(email, key), timeout=SECONDS)
    took = time.perf_counter() - began
    pipelined(to, [email for email, _ in people])
    return many / took


def count(to: handler_pb2_grpc.HandlerServiceStub) -> int:
    """How many users it holds."""
    return int(to.GetInboundUsersCount(handler_pb2.GetInboundUserRequest(tag=TAG), timeout=SECONDS).count)


def holds(to: handler_pb2_grpc.HandlerServiceStub, email: str) -> bool:
    """Whether it lets this one in."""
    answer = to.GetInboundUsers(handler_pb2.GetInboundUserRequest(tag=TAG, email=email), timeout=SECONDS)
    return any(user.email == email for user in answer.users)
