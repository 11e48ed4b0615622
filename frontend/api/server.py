"""The gRPC server of one replica: all services on two TLS ports, health and reflection beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from frontend.api.call import Calls
from protos.channel import server_options
from protos.v1 import (
    agent_pb2,
    cluster_pb2,
    event_pb2,
    host_pb2,
    image_pb2,
    pipeline_pb2,
    template_pb2,
    token_pb2,
    vm_pb2,
)

MESSAGE_BYTES_MAX = 4 << 20
"""Of one request. Larger ones are refused before they are read."""

STOP_GRACE_S = 2.0
"""Calls under way may end by themselves for this long."""

FILES = (
    agent_pb2,
    cluster_pb2,
    event_pb2,
    host_pb2,
    image_pb2,
    pipeline_pb2,
    template_pb2,
    token_pb2,
    vm_pb2,
)


def services() -> dict[str, ServiceDescriptor]:
    """All services of skyraft.v1, by noun: agent, cluster, ..."""
    return {
        name.removesuffix("Service").lower(): descriptor
        for file in FILES
        for name, descriptor in file.DESCRIPTOR.services_by_name.items()
    }


class PortInUse(Exception):
    """The text names the address and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where to listen, and with what."""

    api: str
    """host:port for callers with a certificate of the CA."""

    token: str
    """host:port for callers with a token."""

    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes


class ApiServer:
    def __init__(self, ports: Ports, calls: Calls, nouns: Mapping[str, object]) -> None:
        """*nouns* has the object that answers each of services(). Raises PortInUse."""
        options = dict(server_options())
        options["grpc.max_receive_message_length"] = MESSAGE_BYTES_MAX
        self._server = grpc.aio.server(options=list(options.items()))
        self._names = [descriptor.full_name for descriptor in services().values()]
        for noun, descriptor in services().items():
            handlers: dict[str, Any] = calls.service(descriptor, nouns[noun])
            generic = grpc.method_handlers_generic_handler(descriptor.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
            self._server.add_registered_method_handlers(descriptor.full_name, handlers)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflected = [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(reflected, self._server)
        self.api_port = self._listen(ports, ports.api, mutual=True)
        self.token_port = self._listen(ports, ports.token, mutual=False)

    def _listen(self, ports: Ports, address: str, *, mutual: bool) -> int:
        # A certificate can be asked for always or never, hence the two ports.
        credentials = grpc.ssl_server_credentials(
            [(ports.key_pem, ports.certificate_pem)],
            root_certificates=ports.ca_pem if mutual else None,
            require_client_auth=mutual,
        )
        try:
            port: int = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            port = 0
        if not port:
            raise PortInUse(
                f"cannot listen on {address}: another process has it, or it is not an address of "
                "this machine (`ss -ltnp` tells); change it in replica.toml of every replica"
            )
        return port

    async def start(self) -> None:
        await self._server.start()
        await self.set_serving(True)

    async def set_serving(self, serving: bool) -> None:
        """What the health service answers, as a whole and for each service."""
        answers = health_pb2.HealthCheckResponse
        status = answers.SERVING if serving else answers.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def stop(self) -> None:
        await self._health.enter_graceful_shutdown()
        await self._server.stop(STOP_GRACE_S)
