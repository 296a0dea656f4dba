from krotray_core.xray.stubs import serial_pb2 as _serial_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AddRuleRequest(_message.Message):
    __slots__ = ("config", "should_append")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    SHOULD_APPEND_FIELD_NUMBER: _ClassVar[int]
    config: _serial_pb2.TypedMessage
    should_append: bool
    def __init__(self, config: _Optional[_Union[_serial_pb2.TypedMessage, _Mapping]] = ..., should_append: _Optional[bool] = ...) -> None: ...

class AddRuleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveRuleRequest(_message.Message):
    __slots__ = ("rule_tag",)
    RULE_TAG_FIELD_NUMBER: _ClassVar[int]
    rule_tag: str
    def __init__(self, rule_tag: _Optional[str] = ...) -> None: ...

class RemoveRuleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRuleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRuleItem(_message.Message):
    __slots__ = ("tag", "rule_tag")
    TAG_FIELD_NUMBER: _ClassVar[int]
    RULE_TAG_FIELD_NUMBER: _ClassVar[int]
    tag: str
    rule_tag: str
    def __init__(self, tag: _Optional[str] = ..., rule_tag: _Optional[str] = ...) -> None: ...

class ListRuleResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[ListRuleItem]
    def __init__(self, rules: _Optional[_Iterable[_Union[ListRuleItem, _Mapping]]] = ...) -> None: ...
