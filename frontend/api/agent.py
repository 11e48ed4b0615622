"""Host agents over gRPC: they enrol with a join token, then hold a session with the leader."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable

from frontend.api.enrolled import host_of
from frontend.api.mutation import Mutations, checked
from frontend.api.sessions import HEARTBEAT_INTERVAL_MS, HostSession, Send, Sessions
from frontend.auth import tokens
from frontend.auth.callers import Caller
from frontend.auth.certificates import Authority, CertificateError, certificate_sha256, key_sha256
from frontend.config import ReplicaConfig
from frontend.errors import Rejected
from frontend.replica import Replica
from frontend.state import tokens as token_table
from frontend.state import vms
from protos.v1 import agent_pb2 as wire
from protos.v1.command_pb2 import Command, EnrollHost
from protos.v1.host_pb2 import Host
from protos.v1.token_pb2 import TOKEN_KIND_JOIN
from raft.interfaces import Role

ENROLLING = "agent"
"""Actor of an enrolment: the host has no identity before it."""

_LEADERSHIP_WAIT_S = 3.0


class AgentService:
    def __init__(
        self,
        replica: Replica,
        mutations: Mutations,
        sessions: Sessions,
        config: ReplicaConfig,
        refused: Callable[[str], None],
    ) -> None:
        """*refused* is told of tokens and certificates that were turned away.

        Raises CertificateError when the CA's files cannot be used."""
        self._replica, self._mutations, self._sessions = replica, mutations, sessions
        self._config, self._refused = config, refused
        try:
            self._authority = Authority.load(config.cluster_id, config.ca, config.ca_key)
        except CertificateError as error:
            raise CertificateError(f"{config.ca} and {config.ca_key}: {error}") from None
        self._ca_pem = config.ca.read_text()

    # Enrolment.

    async def enroll(self, caller: Caller, request: wire.EnrollRequest) -> wire.EnrollResponse:
        try:
            host, certificate = await self._enroll(request)
        except Rejected as error:
            self._refused(f"enrolment of {request.name[:64]!r}: {error.code}: {error.detail}")
            raise
        return wire.EnrollResponse(
            host_id=host.id,
            cluster_id=self._config.cluster_id,
            certificate_pem=certificate.decode(),
            ca_pem=self._ca_pem,
            addresses=[each.api for each in self._config.replicas],
        )

    async def _enroll(self, request: wire.EnrollRequest) -> tuple[Host, bytes]:
        digest = tokens.read(request.token, self._config.cluster_id)
        # Before anything that costs: who has no token has no claim on this replica's time.
        await self._require_token(digest)
        try:
            key = key_sha256(request.csr_pem.encode())
        except CertificateError as error:
            raise Rejected("invalid_argument", f"csr_pem: {error}", "csr_pem") from None
        # The id is part of the certificate and is decided by the log, so the certificate's hash
        # can only follow in a second command. Until then no certificate opens a session.
        first = await self._propose(checked(request.request_id), request.name, digest, key, key)
        certificate = self._authority.sign_host(request.csr_pem.encode(), first.id)
        fingerprint = certificate_sha256(certificate)
        return await self._propose("", request.name, digest, key, fingerprint), certificate

    async def _require_token(self, digest: str) -> None:
        """Keeps guesses out of the log: apply decides again, and for good."""
        await self._replica.read()
        now_ms = time.time_ns() // 1_000_000
        with self._replica.store.read() as txn:
            token = token_table.find(txn, digest)
        if token is not None and token.HasField("used_by_host_id"):
            return
        tokens.check(token, TOKEN_KIND_JOIN, now_ms)

    async def _propose(
        self, request_id: str, name: str, token: str, key: str, certificate: str
    ) -> Host:
        enroll = EnrollHost(
            token_sha256=token, name=name, certificate_sha256=certificate, key_sha256=key
        )
        payload = await self._replica.propose(
            Command(
                request_id=request_id or uuid.uuid4().hex,
                actor=ENROLLING,
                at_ms=self._mutations.now_ms(),
                enroll_host=enroll,
            )
        )
        return Host.FromString(payload)

    # Session.

    async def session(
        self, caller: Caller, requests: AsyncIterator[wire.SessionRequest], send: Send
    ) -> None:
        if self._replica.status().role is Role.LEADER:
            await self._sessions.wait_open(_LEADERSHIP_WAIT_S)
        term = self._sessions.term
        if not term:
            await send(self._sessions.not_leader())
            return
        hello = await _hello(requests)
        # An enrolment of a moment ago must be seen.
        await self._replica.read()
        host = self._host_of(caller)
        # Leadership may have gone meanwhile. From here to add() nothing may wait: a host that
        # is added to a closed registry would talk to a deposed leader for good.
        if self._sessions.term != term:
            await send(self._sessions.not_leader())
            return
        session = HostSession(host.id, self._sessions.next_number(), hello, self._mutations)
        session.push(self._welcome(host.id, term))
        self._sessions.add(session)
        try:
            await session.talk(requests, send)
        finally:
            self._sessions.remove(session)

    def _host_of(self, caller: Caller) -> Host:
        try:
            with self._replica.store.read() as txn:
                return host_of(txn, caller)
        except Rejected as error:
            self._refused(f"session: {error.code}: {error.detail}")
            raise

    def _welcome(self, host_id: int, term: int) -> wire.SessionResponse:
        with self._replica.store.read() as txn:
            expected = [
                wire.ExpectedGuest(vm_id=vm.id, epoch=vm.epoch) for vm in vms.on_host(txn, host_id)
            ]
        return wire.SessionResponse(
            welcome=wire.Welcome(
                term=term,
                leader_id=self._config.replica_id,
                heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
                expected=expected,
            )
        )


async def _hello(requests: AsyncIterator[wire.SessionRequest]) -> wire.Hello:
    async for request in requests:
        if request.WhichOneof("message") == "hello":
            return request.hello
        break
    raise Rejected("invalid_argument", "the first message must be hello", "hello")
