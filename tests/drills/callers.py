"""Who talks to the replicas of a drill: an admin over all of them or over one, and writers that
remember what was acknowledged."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Self

import grpc

from bench.testbed.replicas import Replicas
from frontend.auth.certificates import Authority
from protos.channel import Credentials, open_channel
from protos.errors import failure_of
from protos.v1 import cluster_pb2, template_pb2
from tests.frontend.front_end import Stubs

ANSWER_S = 30.0


class Callers:
    """A context manager; closes its channels."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self._channels: list[grpc.Channel] = []
        self.admin = self.open(replicas.addresses, replicas.credentials)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels:
            channel.close()

    def open(self, addresses: list[str], credentials: Credentials) -> Stubs:
        channel = open_channel(addresses, credentials)
        self._channels.append(channel)
        return Stubs(channel)

    def of(self, member: int) -> Stubs:
        """The admin, at this replica alone."""
        return self.open([self.replicas.members[member].api], self.replicas.credentials)

    def bearer(self, token: str, member: int | None = None) -> Stubs:
        addresses = self.replicas.token_addresses
        chosen = addresses if member is None else [addresses[member]]
        credentials = Credentials(ca_pem=self.replicas.ca.read_bytes(), token=token)
        return self.open(chosen, credentials)

    def authority(self) -> Authority:
        ca = Path(self.replicas.directory) / "ca"
        return Authority.load(self.replicas.cluster_id, ca / "ca.crt", ca / "ca.key")

    def leader(self) -> int:
        return self.replicas.wait_until_ready()


def make_template(stubs: Stubs, name: str, request_id: str = "") -> template_pb2.Template:
    request = template_pb2.CreateTemplateRequest(
        request_id=request_id, template=template_pb2.Template(name=name, vcpu=1, memory_mib=64)
    )
    made: template_pb2.Template = stubs.templates.CreateTemplate(request, timeout=ANSWER_S)
    return made


def all_templates(stubs: Stubs) -> list[template_pb2.Template]:
    found: list[template_pb2.Template] = []
    page_token = ""
    while True:
        page = stubs.templates.ListTemplates(
            template_pb2.ListTemplatesRequest(page_size=1000, page_token=page_token),
            timeout=ANSWER_S,
        )
        found += page.templates
        page_token = page.next_page_token
        if not page_token:
            return found


def status(stubs: Stubs) -> cluster_pb2.GetStatusResponse:
    answer: cluster_pb2.GetStatusResponse = stubs.clusters.GetStatus(
        cluster_pb2.GetStatusRequest(), timeout=ANSWER_S
    )
    return answer


class Writers:
    """Threads that create templates as fast as they are answered, retrying with the same id."""

    def __init__(self, stubs: Stubs, count: int = 4) -> None:
        self._stubs = stubs
        self._stop = threading.Event()
        self.acknowledged: dict[str, int] = {}
        """Name to id, of every create that was answered."""
        self.refused: list[str] = []
        """Must stay empty."""
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Until *more* further writes are acknowledged."""
        goal, end = len(self.acknowledged) + more, time.monotonic() + ANSWER_S
        while len(self.acknowledged) < goal:
            assert time.monotonic() < end, f"no {more} writes within {ANSWER_S:.0f} s"
            assert not self.refused
            self._stop.wait(0.01)

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            self._create(f"drill-{writer}-{number}")

    def _create(self, name: str) -> None:
        while True:
            try:
                made = make_template(self._stubs, name, request_id=f"req-{name}")
            except grpc.RpcError as error:
                failure = failure_of(error)
                if failure.retryable and not self._stop.is_set():
                    continue
                if not failure.retryable:
                    self.refused.append(f"{name}: {failure}")
                return
            self.acknowledged[name] = made.id
            return
