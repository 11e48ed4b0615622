from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VmState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VM_STATE_UNSPECIFIED: _ClassVar[VmState]
    VM_STATE_PENDING: _ClassVar[VmState]
    VM_STATE_HOLD: _ClassVar[VmState]
    VM_STATE_ACTIVE: _ClassVar[VmState]
    VM_STATE_STOPPED: _ClassVar[VmState]
    VM_STATE_SUSPENDED: _ClassVar[VmState]
    VM_STATE_DONE: _ClassVar[VmState]
    VM_STATE_POWEROFF: _ClassVar[VmState]
    VM_STATE_UNDEPLOYED: _ClassVar[VmState]
    VM_STATE_CLONING: _ClassVar[VmState]
    VM_STATE_CLONING_FAILURE: _ClassVar[VmState]

class LcmState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LCM_STATE_UNSPECIFIED: _ClassVar[LcmState]
    LCM_STATE_PROLOG: _ClassVar[LcmState]
    LCM_STATE_BOOT: _ClassVar[LcmState]
    LCM_STATE_RUNNING: _ClassVar[LcmState]
    LCM_STATE_SAVE_SUSPEND: _ClassVar[LcmState]
    LCM_STATE_EPILOG: _ClassVar[LcmState]
    LCM_STATE_SHUTDOWN: _ClassVar[LcmState]
    LCM_STATE_UNKNOWN: _ClassVar[LcmState]
    LCM_STATE_SHUTDOWN_POWEROFF: _ClassVar[LcmState]
    LCM_STATE_BOOT_UNKNOWN: _ClassVar[LcmState]
    LCM_STATE_BOOT_POWEROFF: _ClassVar[LcmState]
    LCM_STATE_BOOT_SUSPENDED: _ClassVar[LcmState]
    LCM_STATE_CLEANUP_DELETE: _ClassVar[LcmState]
    LCM_STATE_BOOT_FAILURE: _ClassVar[LcmState]
    LCM_STATE_PROLOG_FAILURE: _ClassVar[LcmState]
    LCM_STATE_EPILOG_FAILURE: _ClassVar[LcmState]
VM_STATE_UNSPECIFIED: VmState
VM_STATE_PENDING: VmState
VM_STATE_HOLD: VmState
VM_STATE_ACTIVE: VmState
VM_STATE_STOPPED: VmState
VM_STATE_SUSPENDED: VmState
VM_STATE_DONE: VmState
VM_STATE_POWEROFF: VmState
VM_STATE_UNDEPLOYED: VmState
VM_STATE_CLONING: VmState
VM_STATE_CLONING_FAILURE: VmState
LCM_STATE_UNSPECIFIED: LcmState
LCM_STATE_PROLOG: LcmState
LCM_STATE_BOOT: LcmState
LCM_STATE_RUNNING: LcmState
LCM_STATE_SAVE_SUSPEND: LcmState
LCM_STATE_EPILOG: LcmState
LCM_STATE_SHUTDOWN: LcmState
LCM_STATE_UNKNOWN: LcmState
LCM_STATE_SHUTDOWN_POWEROFF: LcmState
LCM_STATE_BOOT_UNKNOWN: LcmState
LCM_STATE_BOOT_POWEROFF: LcmState
LCM_STATE_BOOT_SUSPENDED: LcmState
LCM_STATE_CLEANUP_DELETE: LcmState
LCM_STATE_BOOT_FAILURE: LcmState
LCM_STATE_PROLOG_FAILURE: LcmState
LCM_STATE_EPILOG_FAILURE: LcmState

class Vm(_message.Message):
    __slots__ = ("id", "name", "description", "owner", "state", "lcm_state", "cluster_id", "host_id", "template_id", "vcpu", "memory_mib", "disks", "nics", "context", "ssh_public_keys", "epoch", "error", "task_id", "revision", "create_time_ms", "labels")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LCM_STATE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    VCPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MIB_FIELD_NUMBER: _ClassVar[int]
    DISKS_FIELD_NUMBER: _ClassVar[int]
    NICS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SSH_PUBLIC_KEYS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    description: str
    owner: str
    state: VmState
    lcm_state: LcmState
    cluster_id: int
    host_id: int
    template_id: int
    vcpu: int
    memory_mib: int
    disks: _containers.RepeatedCompositeFieldContainer[Disk]
    nics: _containers.RepeatedCompositeFieldContainer[Nic]
    context: _containers.ScalarMap[str, str]
    ssh_public_keys: _containers.RepeatedScalarFieldContainer[str]
    epoch: int
    error: str
    task_id: int
    revision: int
    create_time_ms: int
    labels: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., owner: _Optional[str] = ..., state: _Optional[_Union[VmState, str]] = ..., lcm_state: _Optional[_Union[LcmState, str]] = ..., cluster_id: _Optional[int] = ..., host_id: _Optional[int] = ..., template_id: _Optional[int] = ..., vcpu: _Optional[int] = ..., memory_mib: _Optional[int] = ..., disks: _Optional[_Iterable[_Union[Disk, _Mapping]]] = ..., nics: _Optional[_Iterable[_Union[Nic, _Mapping]]] = ..., context: _Optional[_Mapping[str, str]] = ..., ssh_public_keys: _Optional[_Iterable[str]] = ..., epoch: _Optional[int] = ..., error: _Optional[str] = ..., task_id: _Optional[int] = ..., revision: _Optional[int] = ..., create_time_ms: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Disk(_message.Message):
    __slots__ = ("disk_id", "image_id", "size_bytes", "image_sha256", "image_format", "image_size_bytes")
    DISK_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SHA256_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    disk_id: int
    image_id: int
    size_bytes: int
    image_sha256: str
    image_format: str
    image_size_bytes: int
    def __init__(self, disk_id: _Optional[int] = ..., image_id: _Optional[int] = ..., size_bytes: _Optional[int] = ..., image_sha256: _Optional[str] = ..., image_format: _Optional[str] = ..., image_size_bytes: _Optional[int] = ...) -> None: ...

class Nic(_message.Message):
    __slots__ = ("nic_id", "mac", "ip", "prefix_length", "gateway", "dns", "bridge")
    NIC_ID_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    IP_FIELD_NUMBER: _ClassVar[int]
    PREFIX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    DNS_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    nic_id: int
    mac: str
    ip: str
    prefix_length: int
    gateway: str
    dns: _containers.RepeatedScalarFieldContainer[str]
    bridge: str
    def __init__(self, nic_id: _Optional[int] = ..., mac: _Optional[str] = ..., ip: _Optional[str] = ..., prefix_length: _Optional[int] = ..., gateway: _Optional[str] = ..., dns: _Optional[_Iterable[str]] = ..., bridge: _Optional[str] = ...) -> None: ...

class CreateVmRequest(_message.Message):
    __slots__ = ("request_id", "name", "description", "template_id", "cluster_id", "context", "ssh_public_keys", "labels")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SSH_PUBLIC_KEYS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    name: str
    description: str
    template_id: int
    cluster_id: int
    context: _containers.ScalarMap[str, str]
    ssh_public_keys: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., template_id: _Optional[int] = ..., cluster_id: _Optional[int] = ..., context: _Optional[_Mapping[str, str]] = ..., ssh_public_keys: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetVmRequest(_message.Message):
    __slots__ = ("id", "stale")
    ID_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    id: int
    stale: bool
    def __init__(self, id: _Optional[int] = ..., stale: _Optional[bool] = ...) -> None: ...

class ListVmsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "stale", "include_done")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DONE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    stale: bool
    include_done: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., stale: _Optional[bool] = ..., include_done: _Optional[bool] = ...) -> None: ...

class ListVmsResponse(_message.Message):
    __slots__ = ("vms", "next_page_token", "revision")
    VMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    vms: _containers.RepeatedCompositeFieldContainer[Vm]
    next_page_token: str
    revision: int
    def __init__(self, vms: _Optional[_Iterable[_Union[Vm, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class UpdateVmRequest(_message.Message):
    __slots__ = ("request_id", "vm", "update_mask", "expected_revision")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    vm: Vm
    update_mask: _field_mask_pb2.FieldMask
    expected_revision: int
    def __init__(self, request_id: _Optional[str] = ..., vm: _Optional[_Union[Vm, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., expected_revision: _Optional[int] = ...) -> None: ...

class DeleteVmRequest(_message.Message):
    __slots__ = ("request_id", "id", "expected_revision")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: int
    expected_revision: int
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[int] = ..., expected_revision: _Optional[int] = ...) -> None: ...

class PoweroffVmRequest(_message.Message):
    __slots__ = ("request_id", "id", "hard")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: int
    hard: bool
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[int] = ..., hard: _Optional[bool] = ...) -> None: ...

class ResumeVmRequest(_message.Message):
    __slots__ = ("request_id", "id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: int
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[int] = ...) -> None: ...

class SuspendVmRequest(_message.Message):
    __slots__ = ("request_id", "id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: int
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[int] = ...) -> None: ...

class RebootVmRequest(_message.Message):
    __slots__ = ("request_id", "id", "hard")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: int
    hard: bool
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[int] = ..., hard: _Optional[bool] = ...) -> None: ...

class TerminateVmRequest(_message.Message):
    __slots__ = ("request_id", "id", "hard")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: int
    hard: bool
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[int] = ..., hard: _Optional[bool] = ...) -> None: ...

class RecoverVmRequest(_message.Message):
    __slots__ = ("request_id", "id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: int
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[int] = ...) -> None: ...

class WatchVmsRequest(_message.Message):
    __slots__ = ("after_revision", "id")
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    after_revision: int
    id: int
    def __init__(self, after_revision: _Optional[int] = ..., id: _Optional[int] = ...) -> None: ...

class WatchVmsResponse(_message.Message):
    __slots__ = ("vm", "revision")
    VM_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    vm: Vm
    revision: int
    def __init__(self, vm: _Optional[_Union[Vm, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ReadVmConsoleRequest(_message.Message):
    __slots__ = ("id", "tail_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    TAIL_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: int
    tail_bytes: int
    def __init__(self, id: _Optional[int] = ..., tail_bytes: _Optional[int] = ...) -> None: ...

class ReadVmConsoleResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
