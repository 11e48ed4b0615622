from protos.v1 import agent_pb2 as _agent_pb2
from protos.v1 import cluster_pb2 as _cluster_pb2
from protos.v1 import host_pb2 as _host_pb2
from protos.v1 import image_pb2 as _image_pb2
from protos.v1 import template_pb2 as _template_pb2
from protos.v1 import token_pb2 as _token_pb2
from protos.v1 import vm_pb2 as _vm_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Command(_message.Message):
    __slots__ = ("request_id", "actor", "admin", "at_ms", "create_cluster", "update_cluster", "delete_cluster", "enroll_host", "report_host", "mark_host", "update_host", "delete_host", "register_image", "add_image_copy", "fail_image", "update_image", "delete_image", "create_template", "update_template", "delete_template", "create_vm", "place_vms", "update_vm", "delete_vm", "poweroff_vm", "resume_vm", "suspend_vm", "reboot_vm", "terminate_vm", "recover_vm", "report_task", "report_guest", "issue_token", "revoke_token", "record_event")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ADMIN_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    CREATE_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    DELETE_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    ENROLL_HOST_FIELD_NUMBER: _ClassVar[int]
    REPORT_HOST_FIELD_NUMBER: _ClassVar[int]
    MARK_HOST_FIELD_NUMBER: _ClassVar[int]
    UPDATE_HOST_FIELD_NUMBER: _ClassVar[int]
    DELETE_HOST_FIELD_NUMBER: _ClassVar[int]
    REGISTER_IMAGE_FIELD_NUMBER: _ClassVar[int]
    ADD_IMAGE_COPY_FIELD_NUMBER: _ClassVar[int]
    FAIL_IMAGE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    DELETE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    DELETE_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_VM_FIELD_NUMBER: _ClassVar[int]
    PLACE_VMS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_VM_FIELD_NUMBER: _ClassVar[int]
    DELETE_VM_FIELD_NUMBER: _ClassVar[int]
    POWEROFF_VM_FIELD_NUMBER: _ClassVar[int]
    RESUME_VM_FIELD_NUMBER: _ClassVar[int]
    SUSPEND_VM_FIELD_NUMBER: _ClassVar[int]
    REBOOT_VM_FIELD_NUMBER: _ClassVar[int]
    TERMINATE_VM_FIELD_NUMBER: _ClassVar[int]
    RECOVER_VM_FIELD_NUMBER: _ClassVar[int]
    REPORT_TASK_FIELD_NUMBER: _ClassVar[int]
    REPORT_GUEST_FIELD_NUMBER: _ClassVar[int]
    ISSUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVOKE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RECORD_EVENT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    actor: str
    admin: bool
    at_ms: int
    create_cluster: _cluster_pb2.CreateClusterRequest
    update_cluster: _cluster_pb2.UpdateClusterRequest
    delete_cluster: _cluster_pb2.DeleteClusterRequest
    enroll_host: EnrollHost
    report_host: ReportHost
    mark_host: MarkHost
    update_host: _host_pb2.UpdateHostRequest
    delete_host: _host_pb2.DeleteHostRequest
    register_image: RegisterImage
    add_image_copy: AddImageCopy
    fail_image: FailImage
    update_image: _image_pb2.UpdateImageRequest
    delete_image: _image_pb2.DeleteImageRequest
    create_template: _template_pb2.CreateTemplateRequest
    update_template: _template_pb2.UpdateTemplateRequest
    delete_template: _template_pb2.DeleteTemplateRequest
    create_vm: _vm_pb2.CreateVmRequest
    place_vms: PlaceVms
    update_vm: _vm_pb2.UpdateVmRequest
    delete_vm: _vm_pb2.DeleteVmRequest
    poweroff_vm: _vm_pb2.PoweroffVmRequest
    resume_vm: _vm_pb2.ResumeVmRequest
    suspend_vm: _vm_pb2.SuspendVmRequest
    reboot_vm: _vm_pb2.RebootVmRequest
    terminate_vm: _vm_pb2.TerminateVmRequest
    recover_vm: _vm_pb2.RecoverVmRequest
    report_task: ReportTask
    report_guest: ReportGuest
    issue_token: IssueToken
    revoke_token: _token_pb2.RevokeTokenRequest
    record_event: RecordEvent
    def __init__(self, request_id: _Optional[str] = ..., actor: _Optional[str] = ..., admin: _Optional[bool] = ..., at_ms: _Optional[int] = ..., create_cluster: _Optional[_Union[_cluster_pb2.CreateClusterRequest, _Mapping]] = ..., update_cluster: _Optional[_Union[_cluster_pb2.UpdateClusterRequest, _Mapping]] = ..., delete_cluster: _Optional[_Union[_cluster_pb2.DeleteClusterRequest, _Mapping]] = ..., enroll_host: _Optional[_Union[EnrollHost, _Mapping]] = ..., report_host: _Optional[_Union[ReportHost, _Mapping]] = ..., mark_host: _Optional[_Union[MarkHost, _Mapping]] = ..., update_host: _Optional[_Union[_host_pb2.UpdateHostRequest, _Mapping]] = ..., delete_host: _Optional[_Union[_host_pb2.DeleteHostRequest, _Mapping]] = ..., register_image: _Optional[_Union[RegisterImage, _Mapping]] = ..., add_image_copy: _Optional[_Union[AddImageCopy, _Mapping]] = ..., fail_image: _Optional[_Union[FailImage, _Mapping]] = ..., update_image: _Optional[_Union[_image_pb2.UpdateImageRequest, _Mapping]] = ..., delete_image: _Optional[_Union[_image_pb2.DeleteImageRequest, _Mapping]] = ..., create_template: _Optional[_Union[_template_pb2.CreateTemplateRequest, _Mapping]] = ..., update_template: _Optional[_Union[_template_pb2.UpdateTemplateRequest, _Mapping]] = ..., delete_template: _Optional[_Union[_template_pb2.DeleteTemplateRequest, _Mapping]] = ..., create_vm: _Optional[_Union[_vm_pb2.CreateVmRequest, _Mapping]] = ..., place_vms: _Optional[_Union[PlaceVms, _Mapping]] = ..., update_vm: _Optional[_Union[_vm_pb2.UpdateVmRequest, _Mapping]] = ..., delete_vm: _Optional[_Union[_vm_pb2.DeleteVmRequest, _Mapping]] = ..., poweroff_vm: _Optional[_Union[_vm_pb2.PoweroffVmRequest, _Mapping]] = ..., resume_vm: _Optional[_Union[_vm_pb2.ResumeVmRequest, _Mapping]] = ..., suspend_vm: _Optional[_Union[_vm_pb2.SuspendVmRequest, _Mapping]] = ..., reboot_vm: _Optional[_Union[_vm_pb2.RebootVmRequest, _Mapping]] = ..., terminate_vm: _Optional[_Union[_vm_pb2.TerminateVmRequest, _Mapping]] = ..., recover_vm: _Optional[_Union[_vm_pb2.RecoverVmRequest, _Mapping]] = ..., report_task: _Optional[_Union[ReportTask, _Mapping]] = ..., report_guest: _Optional[_Union[ReportGuest, _Mapping]] = ..., issue_token: _Optional[_Union[IssueToken, _Mapping]] = ..., revoke_token: _Optional[_Union[_token_pb2.RevokeTokenRequest, _Mapping]] = ..., record_event: _Optional[_Union[RecordEvent, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("code", "detail", "field", "payload", "revision", "actor", "request_sha256")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    code: str
    detail: str
    field: str
    payload: bytes
    revision: int
    actor: str
    request_sha256: bytes
    def __init__(self, code: _Optional[str] = ..., detail: _Optional[str] = ..., field: _Optional[str] = ..., payload: _Optional[bytes] = ..., revision: _Optional[int] = ..., actor: _Optional[str] = ..., request_sha256: _Optional[bytes] = ...) -> None: ...

class EnrollHost(_message.Message):
    __slots__ = ("token_sha256", "name", "certificate_sha256", "key_sha256")
    TOKEN_SHA256_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_SHA256_FIELD_NUMBER: _ClassVar[int]
    KEY_SHA256_FIELD_NUMBER: _ClassVar[int]
    token_sha256: str
    name: str
    certificate_sha256: str
    key_sha256: str
    def __init__(self, token_sha256: _Optional[str] = ..., name: _Optional[str] = ..., certificate_sha256: _Optional[str] = ..., key_sha256: _Optional[str] = ...) -> None: ...

class ReportHost(_message.Message):
    __slots__ = ("host_id", "capacity", "agent_version", "unknown_guests", "guests", "session")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_GUESTS_FIELD_NUMBER: _ClassVar[int]
    GUESTS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    host_id: int
    capacity: _host_pb2.HostCapacity
    agent_version: str
    unknown_guests: _containers.RepeatedScalarFieldContainer[str]
    guests: _containers.RepeatedCompositeFieldContainer[_agent_pb2.Guest]
    session: int
    def __init__(self, host_id: _Optional[int] = ..., capacity: _Optional[_Union[_host_pb2.HostCapacity, _Mapping]] = ..., agent_version: _Optional[str] = ..., unknown_guests: _Optional[_Iterable[str]] = ..., guests: _Optional[_Iterable[_Union[_agent_pb2.Guest, _Mapping]]] = ..., session: _Optional[int] = ...) -> None: ...

class MarkHost(_message.Message):
    __slots__ = ("host_id", "state", "detail")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    host_id: int
    state: _host_pb2.HostState
    detail: str
    def __init__(self, host_id: _Optional[int] = ..., state: _Optional[_Union[_host_pb2.HostState, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class RegisterImage(_message.Message):
    __slots__ = ("name", "description", "format", "size_bytes", "virtual_size_bytes", "sha256", "replica_id", "labels", "copies_wanted")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    VIRTUAL_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    COPIES_WANTED_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    format: _image_pb2.ImageFormat
    size_bytes: int
    virtual_size_bytes: int
    sha256: str
    replica_id: str
    labels: _containers.ScalarMap[str, str]
    copies_wanted: int
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., size_bytes: _Optional[int] = ..., virtual_size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., replica_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., copies_wanted: _Optional[int] = ...) -> None: ...

class AddImageCopy(_message.Message):
    __slots__ = ("image_id", "replica_id", "sha256", "format", "size_bytes", "virtual_size_bytes")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    VIRTUAL_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    image_id: int
    replica_id: str
    sha256: str
    format: _image_pb2.ImageFormat
    size_bytes: int
    virtual_size_bytes: int
    def __init__(self, image_id: _Optional[int] = ..., replica_id: _Optional[str] = ..., sha256: _Optional[str] = ..., format: _Optional[_Union[_image_pb2.ImageFormat, str]] = ..., size_bytes: _Optional[int] = ..., virtual_size_bytes: _Optional[int] = ...) -> None: ...

class FailImage(_message.Message):
    __slots__ = ("image_id", "error")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    image_id: int
    error: str
    def __init__(self, image_id: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("vm_id", "host_id", "reason")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    vm_id: int
    host_id: int
    reason: str
    def __init__(self, vm_id: _Optional[int] = ..., host_id: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class PlaceVms(_message.Message):
    __slots__ = ("placements",)
    PLACEMENTS_FIELD_NUMBER: _ClassVar[int]
    placements: _containers.RepeatedCompositeFieldContainer[Placement]
    def __init__(self, placements: _Optional[_Iterable[_Union[Placement, _Mapping]]] = ...) -> None: ...

class ReportTask(_message.Message):
    __slots__ = ("host_id", "report")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    host_id: int
    report: _agent_pb2.TaskReport
    def __init__(self, host_id: _Optional[int] = ..., report: _Optional[_Union[_agent_pb2.TaskReport, _Mapping]] = ...) -> None: ...

class ReportGuest(_message.Message):
    __slots__ = ("host_id", "event", "session")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    host_id: int
    event: _agent_pb2.GuestEvent
    session: int
    def __init__(self, host_id: _Optional[int] = ..., event: _Optional[_Union[_agent_pb2.GuestEvent, _Mapping]] = ..., session: _Optional[int] = ...) -> None: ...

class IssueToken(_message.Message):
    __slots__ = ("request", "secret_sha256")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SECRET_SHA256_FIELD_NUMBER: _ClassVar[int]
    request: _token_pb2.CreateTokenRequest
    secret_sha256: str
    def __init__(self, request: _Optional[_Union[_token_pb2.CreateTokenRequest, _Mapping]] = ..., secret_sha256: _Optional[str] = ...) -> None: ...

class RecordEvent(_message.Message):
    __slots__ = ("kind", "noun", "object_id", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NOUN_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: str
    noun: str
    object_id: int
    detail: str
    def __init__(self, kind: _Optional[str] = ..., noun: _Optional[str] = ..., object_id: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...
