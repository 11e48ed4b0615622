"""The process's edges: its log lines, its metrics endpoint, its health and reflection."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from bench.testbed.replicas import free_ports
from frontend.config import init_cluster, load
from frontend.main import LogLine, Unfit, serving
from tests.frontend.front_end import FAST, FrontEnd, addresses


def test_quotes_in_a_log_line_can_be_copied() -> None:
    text = 'write cluster_id = "..."\nand more'
    record = logging.LogRecord("frontend", logging.CRITICAL, __file__, 1, text, (), None)
    line = LogLine().format(record)
    assert line.endswith('write cluster_id = "..."\\nand more')


def test_log_record_is_one_line_even_with_a_trace() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord(
            "frontend", logging.ERROR, __file__, 1, "broke\nhere %s", ("now",), sys.exc_info()
        )
    line = LogLine().format(record)
    assert "\n" not in line
    assert "ERROR frontend broke\\nhere now" in line
    assert "ValueError" in json.loads(line.partition(" trace=")[2])


def test_taken_raft_port_is_told_once_with_its_address(tmp_path: Path) -> None:
    init_cluster(tmp_path / "cloud", addresses(["1"]))
    config = load(tmp_path / "cloud" / "replica-1" / "replica.toml")
    host, port = config.me.raft.split(":")

    async def start() -> None:
        async with serving(config):
            pass

    with socket.create_server((host, int(port))), pytest.raises(Unfit) as caught:
        asyncio.run(start())
    assert str(caught.value).count(f"cannot listen on {config.me.raft}") == 1
    assert "in use" in str(caught.value)


def test_health_is_serving_for_the_whole_and_each_service(front_end: FrontEnd) -> None:
    check = health_pb2_grpc.HealthStub(front_end.admin.channel).Check
    for service in ("", "skyraft.v1.VmService"):
        answer = check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services(front_end: FrontEnd) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(front_end.admin.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="*")
    [answer] = stub.ServerReflectionInfo(iter([request]))
    names = {service.name for service in answer.list_services_response.service}
    assert {"skyraft.v1.VmService", "skyraft.v1.PipelineService"} <= names


def test_metrics_are_for_certificates_of_the_ca_alone(tmp_path: Path) -> None:
    directory = tmp_path / "cloud"
    init_cluster(directory, addresses(["1"]))
    [port] = free_ports(1)
    config = replace(
        load(directory / "replica-1" / "replica.toml"), metrics=f"127.0.0.1:{port}", timing=FAST
    )
    admin = directory / "admin"
    known = ssl.create_default_context(cafile=str(admin / "ca.crt"))
    unknown = ssl.create_default_context(cafile=str(admin / "ca.crt"))
    known.load_cert_chain(admin / "admin.crt", admin / "admin.key")

    def scrape(context: ssl.SSLContext) -> str:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/metrics", context=context) as page:
            return str(page.read().decode())

    async def scenario() -> str:
        async with serving(config) as replica:
            await replica.read()
            with pytest.raises((urllib.error.URLError, ssl.SSLError, OSError)):
                await asyncio.to_thread(scrape, unknown)
            return await asyncio.to_thread(scrape, known)

    page = asyncio.run(scenario())
    assert "skyraft_raft_leader 1.0" in page
    assert "skyraft_raft_commits_total" in page
