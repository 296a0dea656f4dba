from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RoutingRule(_message.Message):
    __slots__ = ("tag", "user_email", "rule_tag")
    TAG_FIELD_NUMBER: _ClassVar[int]
    USER_EMAIL_FIELD_NUMBER: _ClassVar[int]
    RULE_TAG_FIELD_NUMBER: _ClassVar[int]
    tag: str
    user_email: _containers.RepeatedScalarFieldContainer[str]
    rule_tag: str
    def __init__(self, tag: _Optional[str] = ..., user_email: _Optional[_Iterable[str]] = ..., rule_tag: _Optional[str] = ...) -> None: ...

class Config(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: _containers.RepeatedCompositeFieldContainer[RoutingRule]
    def __init__(self, rule: _Optional[_Iterable[_Union[RoutingRule, _Mapping]]] = ...) -> None: ...
