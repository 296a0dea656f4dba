from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SysStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SysStatsResponse(_message.Message):
    __slots__ = ("uptime",)
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    uptime: int
    def __init__(self, uptime: _Optional[int] = ...) -> None: ...

class GetUsersStatsRequest(_message.Message):
    __slots__ = ("include_traffic", "reset")
    INCLUDE_TRAFFIC_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    include_traffic: bool
    reset: bool
    def __init__(self, include_traffic: _Optional[bool] = ..., reset: _Optional[bool] = ...) -> None: ...

class OnlineIPEntry(_message.Message):
    __slots__ = ("ip", "last_seen")
    IP_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    ip: str
    last_seen: int
    def __init__(self, ip: _Optional[str] = ..., last_seen: _Optional[int] = ...) -> None: ...

class UserStat(_message.Message):
    __slots__ = ("email", "ips")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    IPS_FIELD_NUMBER: _ClassVar[int]
    email: str
    ips: _containers.RepeatedCompositeFieldContainer[OnlineIPEntry]
    def __init__(self, email: _Optional[str] = ..., ips: _Optional[_Iterable[_Union[OnlineIPEntry, _Mapping]]] = ...) -> None: ...

class GetUsersStatsResponse(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[UserStat]
    def __init__(self, users: _Optional[_Iterable[_Union[UserStat, _Mapping]]] = ...) -> None: ...

class QueryStatsRequest(_message.Message):
    __slots__ = ("pattern", "reset")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    reset: bool
    def __init__(self, pattern: _Optional[str] = ..., reset: _Optional[bool] = ...) -> None: ...

class Stat(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: int
    def __init__(self, name: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...

class QueryStatsResponse(_message.Message):
    __slots__ = ("stat",)
    STAT_FIELD_NUMBER: _ClassVar[int]
    stat: _containers.RepeatedCompositeFieldContainer[Stat]
    def __init__(self, stat: _Optional[_Iterable[_Union[Stat, _Mapping]]] = ...) -> None: ...
