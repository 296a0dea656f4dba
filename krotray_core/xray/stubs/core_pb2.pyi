from krotray_core.xray.stubs import serial_pb2 as _serial_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OutboundHandlerConfig(_message.Message):
    __slots__ = ("tag", "proxy_settings")
    TAG_FIELD_NUMBER: _ClassVar[int]
    PROXY_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    tag: str
    proxy_settings: _serial_pb2.TypedMessage
    def __init__(self, tag: _Optional[str] = ..., proxy_settings: _Optional[_Union[_serial_pb2.TypedMessage, _Mapping]] = ...) -> None: ...
