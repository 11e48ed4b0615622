from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HostState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOST_STATE_UNSPECIFIED: _ClassVar[HostState]
    HOST_STATE_MONITORED: _ClassVar[HostState]
    HOST_STATE_ERROR: _ClassVar[HostState]
    HOST_STATE_DISABLED: _ClassVar[HostState]
    HOST_STATE_OFFLINE: _ClassVar[HostState]
HOST_STATE_UNSPECIFIED: HostState
HOST_STATE_MONITORED: HostState
HOST_STATE_ERROR: HostState
HOST_STATE_DISABLED: HostState
HOST_STATE_OFFLINE: HostState

class Host(_message.Message):
    __slots__ = ("id", "name", "cluster_id", "state", "capacity", "vcpu_used", "memory_used_mib", "agent_version", "unknown_guests", "error", "revision", "create_time_ms", "labels", "certificate_sha256", "key_sha256", "session")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    VCPU_USED_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USED_MIB_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_GUESTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_SHA256_FIELD_NUMBER: _ClassVar[int]
    KEY_SHA256_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    cluster_id: int
    state: HostState
    capacity: HostCapacity
    vcpu_used: int
    memory_used_mib: int
    agent_version: str
    unknown_guests: _containers.RepeatedScalarFieldContainer[str]
    error: str
    revision: int
    create_time_ms: int
    labels: _containers.ScalarMap[str, str]
    certificate_sha256: str
    key_sha256: str
    session: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., cluster_id: _Optional[int] = ..., state: _Optional[_Union[HostState, str]] = ..., capacity: _Optional[_Union[HostCapacity, _Mapping]] = ..., vcpu_used: _Optional[int] = ..., memory_used_mib: _Optional[int] = ..., agent_version: _Optional[str] = ..., unknown_guests: _Optional[_Iterable[str]] = ..., error: _Optional[str] = ..., revision: _Optional[int] = ..., create_time_ms: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., certificate_sha256: _Optional[str] = ..., key_sha256: _Optional[str] = ..., session: _Optional[int] = ...) -> None: ...

class HostCapacity(_message.Message):
    __slots__ = ("vcpu", "memory_mib", "hypervisor", "hypervisor_detail", "disk_free_bytes")
    VCPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MIB_FIELD_NUMBER: _ClassVar[int]
    HYPERVISOR_FIELD_NUMBER: _ClassVar[int]
    HYPERVISOR_DETAIL_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    vcpu: int
    memory_mib: int
    hypervisor: str
    hypervisor_detail: str
    disk_free_bytes: int
    def __init__(self, vcpu: _Optional[int] = ..., memory_mib: _Optional[int] = ..., hypervisor: _Optional[str] = ..., hypervisor_detail: _Optional[str] = ..., disk_free_bytes: _Optional[int] = ...) -> None: ...

class GetHostRequest(_message.Message):
    __slots__ = ("id", "stale")
    ID_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    id: int
    stale: bool
    def __init__(self, id: _Optional[int] = ..., stale: _Optional[bool] = ...) -> None: ...

class ListHostsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "stale")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    stale: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., stale: _Optional[bool] = ...) -> None: ...

class ListHostsResponse(_message.Message):
    __slots__ = ("hosts", "next_page_token", "revision")
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedCompositeFieldContainer[Host]
    next_page_token: str
    revision: int
    def __init__(self, hosts: _Optional[_Iterable[_Union[Host, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class UpdateHostRequest(_message.Message):
    __slots__ = ("request_id", "host", "update_mask", "expected_revision")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    host: Host
    update_mask: _field_mask_pb2.FieldMask
    expected_revision: int
    def __init__(self, request_id: _Optional[str] = ..., host: _Optional[_Union[Host, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., expected_revision: _Optional[int] = ...) -> None: ...

class DeleteHostRequest(_message.Message):
    __slots__ = ("request_id", "id", "expected_revision")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: int
    expected_revision: int
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[int] = ..., expected_revision: _Optional[int] = ...) -> None: ...

class DeleteHostResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
