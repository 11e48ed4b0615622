from protos.v1 import template_pb2 as _template_pb2
from protos.v1 import vm_pb2 as _vm_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PipelineRequest(_message.Message):
    __slots__ = ("operations",)
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    def __init__(self, operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("id", "create_vm", "get_vm", "list_vms", "update_vm", "delete_vm", "poweroff_vm", "resume_vm", "suspend_vm", "reboot_vm", "terminate_vm", "recover_vm", "create_template", "get_template", "list_templates", "update_template", "delete_template")
    ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_VM_FIELD_NUMBER: _ClassVar[int]
    GET_VM_FIELD_NUMBER: _ClassVar[int]
    LIST_VMS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_VM_FIELD_NUMBER: _ClassVar[int]
    DELETE_VM_FIELD_NUMBER: _ClassVar[int]
    POWEROFF_VM_FIELD_NUMBER: _ClassVar[int]
    RESUME_VM_FIELD_NUMBER: _ClassVar[int]
    SUSPEND_VM_FIELD_NUMBER: _ClassVar[int]
    REBOOT_VM_FIELD_NUMBER: _ClassVar[int]
    TERMINATE_VM_FIELD_NUMBER: _ClassVar[int]
    RECOVER_VM_FIELD_NUMBER: _ClassVar[int]
    CREATE_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    GET_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    LIST_TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    DELETE_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    id: int
    create_vm: _vm_pb2.CreateVmRequest
    get_vm: _vm_pb2.GetVmRequest
    list_vms: _vm_pb2.ListVmsRequest
    update_vm: _vm_pb2.UpdateVmRequest
    delete_vm: _vm_pb2.DeleteVmRequest
    poweroff_vm: _vm_pb2.PoweroffVmRequest
    resume_vm: _vm_pb2.ResumeVmRequest
    suspend_vm: _vm_pb2.SuspendVmRequest
    reboot_vm: _vm_pb2.RebootVmRequest
    terminate_vm: _vm_pb2.TerminateVmRequest
    recover_vm: _vm_pb2.RecoverVmRequest
    create_template: _template_pb2.CreateTemplateRequest
    get_template: _template_pb2.GetTemplateRequest
    list_templates: _template_pb2.ListTemplatesRequest
    update_template: _template_pb2.UpdateTemplateRequest
    delete_template: _template_pb2.DeleteTemplateRequest
    def __init__(self, id: _Optional[int] = ..., create_vm: _Optional[_Union[_vm_pb2.CreateVmRequest, _Mapping]] = ..., get_vm: _Optional[_Union[_vm_pb2.GetVmRequest, _Mapping]] = ..., list_vms: _Optional[_Union[_vm_pb2.ListVmsRequest, _Mapping]] = ..., update_vm: _Optional[_Union[_vm_pb2.UpdateVmRequest, _Mapping]] = ..., delete_vm: _Optional[_Union[_vm_pb2.DeleteVmRequest, _Mapping]] = ..., poweroff_vm: _Optional[_Union[_vm_pb2.PoweroffVmRequest, _Mapping]] = ..., resume_vm: _Optional[_Union[_vm_pb2.ResumeVmRequest, _Mapping]] = ..., suspend_vm: _Optional[_Union[_vm_pb2.SuspendVmRequest, _Mapping]] = ..., reboot_vm: _Optional[_Union[_vm_pb2.RebootVmRequest, _Mapping]] = ..., terminate_vm: _Optional[_Union[_vm_pb2.TerminateVmRequest, _Mapping]] = ..., recover_vm: _Optional[_Union[_vm_pb2.RecoverVmRequest, _Mapping]] = ..., create_template: _Optional[_Union[_template_pb2.CreateTemplateRequest, _Mapping]] = ..., get_template: _Optional[_Union[_template_pb2.GetTemplateRequest, _Mapping]] = ..., list_templates: _Optional[_Union[_template_pb2.ListTemplatesRequest, _Mapping]] = ..., update_template: _Optional[_Union[_template_pb2.UpdateTemplateRequest, _Mapping]] = ..., delete_template: _Optional[_Union[_template_pb2.DeleteTemplateRequest, _Mapping]] = ...) -> None: ...

class OperationError(_message.Message):
    __slots__ = ("code", "reason", "message", "field", "retry")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    field: str
    retry: bool
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retry: _Optional[bool] = ...) -> None: ...

class PipelineResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[OperationResult]
    def __init__(self, results: _Optional[_Iterable[_Union[OperationResult, _Mapping]]] = ...) -> None: ...

class OperationResult(_message.Message):
    __slots__ = ("id", "error", "vm", "vms", "template", "templates", "deleted_template")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    VMS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    DELETED_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    id: int
    error: OperationError
    vm: _vm_pb2.Vm
    vms: _vm_pb2.ListVmsResponse
    template: _template_pb2.Template
    templates: _template_pb2.ListTemplatesResponse
    deleted_template: _template_pb2.DeleteTemplateResponse
    def __init__(self, id: _Optional[int] = ..., error: _Optional[_Union[OperationError, _Mapping]] = ..., vm: _Optional[_Union[_vm_pb2.Vm, _Mapping]] = ..., vms: _Optional[_Union[_vm_pb2.ListVmsResponse, _Mapping]] = ..., template: _Optional[_Union[_template_pb2.Template, _Mapping]] = ..., templates: _Optional[_Union[_template_pb2.ListTemplatesResponse, _Mapping]] = ..., deleted_template: _Optional[_Union[_template_pb2.DeleteTemplateResponse, _Mapping]] = ...) -> None: ...
