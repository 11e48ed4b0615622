from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("revision", "sequence", "time_ms", "actor", "request_id", "kind", "noun", "object_id", "detail")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NOUN_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    revision: int
    sequence: int
    time_ms: int
    actor: str
    request_id: str
    kind: str
    noun: str
    object_id: int
    detail: str
    def __init__(self, revision: _Optional[int] = ..., sequence: _Optional[int] = ..., time_ms: _Optional[int] = ..., actor: _Optional[str] = ..., request_id: _Optional[str] = ..., kind: _Optional[str] = ..., noun: _Optional[str] = ..., object_id: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("after_revision", "page_size", "noun", "object_id", "stale", "descending")
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    NOUN_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    after_revision: int
    page_size: int
    noun: str
    object_id: int
    stale: bool
    descending: bool
    def __init__(self, after_revision: _Optional[int] = ..., page_size: _Optional[int] = ..., noun: _Optional[str] = ..., object_id: _Optional[int] = ..., stale: _Optional[bool] = ..., descending: _Optional[bool] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "next_revision")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_REVISION_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    next_revision: int
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., next_revision: _Optional[int] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("after_revision", "noun", "object_id")
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    NOUN_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    after_revision: int
    noun: str
    object_id: int
    def __init__(self, after_revision: _Optional[int] = ..., noun: _Optional[str] = ..., object_id: _Optional[int] = ...) -> None: ...

class WatchEventsResponse(_message.Message):
    __slots__ = ("event", "revision")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    event: Event
    revision: int
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...
