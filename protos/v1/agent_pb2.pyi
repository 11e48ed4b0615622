from protos.v1 import host_pb2 as _host_pb2
from protos.v1 import vm_pb2 as _vm_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GuestPower(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GUEST_POWER_UNSPECIFIED: _ClassVar[GuestPower]
    GUEST_POWER_OFF: _ClassVar[GuestPower]
    GUEST_POWER_ON: _ClassVar[GuestPower]
    GUEST_POWER_PAUSED: _ClassVar[GuestPower]
    GUEST_POWER_SAVED: _ClassVar[GuestPower]
    GUEST_POWER_CRASHED: _ClassVar[GuestPower]

class TaskKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_KIND_UNSPECIFIED: _ClassVar[TaskKind]
    TASK_KIND_PREPARE: _ClassVar[TaskKind]
    TASK_KIND_START: _ClassVar[TaskKind]
    TASK_KIND_STOP: _ClassVar[TaskKind]
    TASK_KIND_REBOOT: _ClassVar[TaskKind]
    TASK_KIND_SAVE: _ClassVar[TaskKind]
    TASK_KIND_RESTORE: _ClassVar[TaskKind]
    TASK_KIND_CLEANUP: _ClassVar[TaskKind]

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_UNSPECIFIED: _ClassVar[TaskState]
    TASK_STATE_WAITING: _ClassVar[TaskState]
    TASK_STATE_DONE: _ClassVar[TaskState]
    TASK_STATE_FAILED: _ClassVar[TaskState]
    TASK_STATE_CANCELLED: _ClassVar[TaskState]
GUEST_POWER_UNSPECIFIED: GuestPower
GUEST_POWER_OFF: GuestPower
GUEST_POWER_ON: GuestPower
GUEST_POWER_PAUSED: GuestPower
GUEST_POWER_SAVED: GuestPower
GUEST_POWER_CRASHED: GuestPower
TASK_KIND_UNSPECIFIED: TaskKind
TASK_KIND_PREPARE: TaskKind
TASK_KIND_START: TaskKind
TASK_KIND_STOP: TaskKind
TASK_KIND_REBOOT: TaskKind
TASK_KIND_SAVE: TaskKind
TASK_KIND_RESTORE: TaskKind
TASK_KIND_CLEANUP: TaskKind
TASK_STATE_UNSPECIFIED: TaskState
TASK_STATE_WAITING: TaskState
TASK_STATE_DONE: TaskState
TASK_STATE_FAILED: TaskState
TASK_STATE_CANCELLED: TaskState

class EnrollRequest(_message.Message):
    __slots__ = ("request_id", "token", "csr_pem", "name")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    token: str
    csr_pem: str
    name: str
    def __init__(self, request_id: _Optional[str] = ..., token: _Optional[str] = ..., csr_pem: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class EnrollResponse(_message.Message):
    __slots__ = ("host_id", "cluster_id", "certificate_pem", "ca_pem", "addresses")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    host_id: int
    cluster_id: str
    certificate_pem: str
    ca_pem: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, host_id: _Optional[int] = ..., cluster_id: _Optional[str] = ..., certificate_pem: _Optional[str] = ..., ca_pem: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("hello", "inventory", "report", "guest_event", "heartbeat", "console")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    GUEST_EVENT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    CONSOLE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    inventory: Inventory
    report: TaskReport
    guest_event: GuestEvent
    heartbeat: Heartbeat
    console: ConsoleReply
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., inventory: _Optional[_Union[Inventory, _Mapping]] = ..., report: _Optional[_Union[TaskReport, _Mapping]] = ..., guest_event: _Optional[_Union[GuestEvent, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., console: _Optional[_Union[ConsoleReply, _Mapping]] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("welcome", "not_leader", "task", "report_ack", "heartbeat_ack", "console")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    NOT_LEADER_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    REPORT_ACK_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ACK_FIELD_NUMBER: _ClassVar[int]
    CONSOLE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    not_leader: NotLeader
    task: Task
    report_ack: ReportAck
    heartbeat_ack: HeartbeatAck
    console: ConsoleQuery
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., not_leader: _Optional[_Union[NotLeader, _Mapping]] = ..., task: _Optional[_Union[Task, _Mapping]] = ..., report_ack: _Optional[_Union[ReportAck, _Mapping]] = ..., heartbeat_ack: _Optional[_Union[HeartbeatAck, _Mapping]] = ..., console: _Optional[_Union[ConsoleQuery, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("agent_version", "capacity", "term")
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    agent_version: str
    capacity: _host_pb2.HostCapacity
    term: int
    def __init__(self, agent_version: _Optional[str] = ..., capacity: _Optional[_Union[_host_pb2.HostCapacity, _Mapping]] = ..., term: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("term", "leader_id", "heartbeat_interval_ms", "expected")
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    term: int
    leader_id: str
    heartbeat_interval_ms: int
    expected: _containers.RepeatedCompositeFieldContainer[ExpectedGuest]
    def __init__(self, term: _Optional[int] = ..., leader_id: _Optional[str] = ..., heartbeat_interval_ms: _Optional[int] = ..., expected: _Optional[_Iterable[_Union[ExpectedGuest, _Mapping]]] = ...) -> None: ...

class ExpectedGuest(_message.Message):
    __slots__ = ("vm_id", "epoch")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    vm_id: int
    epoch: int
    def __init__(self, vm_id: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class NotLeader(_message.Message):
    __slots__ = ("leader_address",)
    LEADER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    leader_address: str
    def __init__(self, leader_address: _Optional[str] = ...) -> None: ...

class Inventory(_message.Message):
    __slots__ = ("guests", "unknown_guests", "capacity")
    GUESTS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_GUESTS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    guests: _containers.RepeatedCompositeFieldContainer[Guest]
    unknown_guests: _containers.RepeatedScalarFieldContainer[str]
    capacity: _host_pb2.HostCapacity
    def __init__(self, guests: _Optional[_Iterable[_Union[Guest, _Mapping]]] = ..., unknown_guests: _Optional[_Iterable[str]] = ..., capacity: _Optional[_Union[_host_pb2.HostCapacity, _Mapping]] = ...) -> None: ...

class Guest(_message.Message):
    __slots__ = ("vm_id", "epoch", "power")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    vm_id: int
    epoch: int
    power: GuestPower
    def __init__(self, vm_id: _Optional[int] = ..., epoch: _Optional[int] = ..., power: _Optional[_Union[GuestPower, str]] = ...) -> None: ...

class GuestEvent(_message.Message):
    __slots__ = ("vm_id", "epoch", "power", "detail")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    vm_id: int
    epoch: int
    power: GuestPower
    detail: str
    def __init__(self, vm_id: _Optional[int] = ..., epoch: _Optional[int] = ..., power: _Optional[_Union[GuestPower, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class HeartbeatAck(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("id", "vm_id", "host_id", "kind", "state", "epoch", "term", "vm", "hard", "grace_s", "timeout_s", "create_time_ms", "detail", "revision")
    ID_FIELD_NUMBER: _ClassVar[int]
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    GRACE_S_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    id: int
    vm_id: int
    host_id: int
    kind: TaskKind
    state: TaskState
    epoch: int
    term: int
    vm: _vm_pb2.Vm
    hard: bool
    grace_s: int
    timeout_s: int
    create_time_ms: int
    detail: str
    revision: int
    def __init__(self, id: _Optional[int] = ..., vm_id: _Optional[int] = ..., host_id: _Optional[int] = ..., kind: _Optional[_Union[TaskKind, str]] = ..., state: _Optional[_Union[TaskState, str]] = ..., epoch: _Optional[int] = ..., term: _Optional[int] = ..., vm: _Optional[_Union[_vm_pb2.Vm, _Mapping]] = ..., hard: _Optional[bool] = ..., grace_s: _Optional[int] = ..., timeout_s: _Optional[int] = ..., create_time_ms: _Optional[int] = ..., detail: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class TaskReport(_message.Message):
    __slots__ = ("task_id", "ok", "detail", "vm_id", "epoch")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    ok: bool
    detail: str
    vm_id: int
    epoch: int
    def __init__(self, task_id: _Optional[int] = ..., ok: _Optional[bool] = ..., detail: _Optional[str] = ..., vm_id: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class ReportAck(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    def __init__(self, task_id: _Optional[int] = ...) -> None: ...

class ConsoleQuery(_message.Message):
    __slots__ = ("query_id", "vm_id", "tail_bytes")
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    TAIL_BYTES_FIELD_NUMBER: _ClassVar[int]
    query_id: int
    vm_id: int
    tail_bytes: int
    def __init__(self, query_id: _Optional[int] = ..., vm_id: _Optional[int] = ..., tail_bytes: _Optional[int] = ...) -> None: ...

class ConsoleReply(_message.Message):
    __slots__ = ("query_id", "data", "error")
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    query_id: int
    data: bytes
    error: str
    def __init__(self, query_id: _Optional[int] = ..., data: _Optional[bytes] = ..., error: _Optional[str] = ...) -> None: ...
