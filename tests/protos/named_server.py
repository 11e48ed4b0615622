"""``python -m tests.protos.named_server DIR NAME`` answers GetTemplate with NAME over mutual TLS:
a process that drills can kill and stop. Prints its port when it serves."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from protos.channel import server_options
from protos.v1.template_pb2 import GetTemplateRequest, Template
from protos.v1.template_pb2_grpc import (
    TemplateServiceServicer,
    add_TemplateServiceServicer_to_server,
)


class Named(TemplateServiceServicer):
    def GetTemplate(self, request: GetTemplateRequest, context: object) -> Template:
        return Template(name=sys.argv[2])


def main() -> None:
    tls = Path(sys.argv[1])
    key, certificate, ca = (
        (tls / name).read_bytes() for name in ("replica.key", "replica.crt", "ca.crt")
    )
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=ca, require_client_auth=True
    )
    server = grpc.server(ThreadPoolExecutor(2), options=server_options())
    add_TemplateServiceServicer_to_server(Named(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
