"""Links between replicas: one mutual-TLS connection per pair, dialled by the higher id. A peer is
who its certificate says; frames of anybody else never reach the engine."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from protos.v1.raft_pb2 import KeepAlive, RaftFrame
from raft.admission import Refusals, Refused, TlsFiles, context, is_refusal, replica_in
from raft.connection import ERROR, READ, Connection, Phase, Place, Poller, open_listener, resolve

log = logging.getLogger(__name__)

OnFrame = Callable[[str, RaftFrame], None]
OnPeer = Callable[[str], None]

_CHECK_S = 0.02
_HELLO_BYTES_MAX = 1024
_ACCEPTS_PER_EVENT = 8
_PAUSE_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    keepalive_s: float = 0.1
    """A link on which nothing was sent this long carries a keep-alive frame. Both sides send."""

    silence_s: float = 2.0
    """A link on which nothing was heard this long is down. Well above keepalive_s."""

    connect_timeout_s: float = 1.0
    """For one attempt to reach a peer; then the next one starts."""

    handshake_timeout_s: float = 2.0
    """From an open socket to the other side's first frame."""

    redial_s: float = 0.05
    """Pause before a lost peer is dialled again; doubles up to redial_max_s."""

    redial_max_s: float = 1.0

    frame_bytes_max: int = 64 << 20
    """A longer frame is not sent; a peer that sends one is cut off."""

    window_bytes: int = 64 << 20
    """What may wait for a slow peer; above it send() refuses until half of it is gone."""

    strangers_max: int = 32
    """Accepted connections that have not yet proved who they are; the oldest makes room."""

    refusal_interval_s: float = 60.0
    """The same refusal is reported at most this often."""


@dataclass(slots=True, eq=False)
class _Peer:
    id: str
    address: str
    dialled: bool
    """We dial it; otherwise we wait for it."""
    place: Place | None = None
    link: Connection | None = None
    incarnation: int = 0
    """The highest seen; frames of older ones come from a process that is gone."""
    heard_at: float = 0.0
    spoke_at: float = 0.0
    redial_at: float = 0.0
    redial_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Attempt:
    """A connection that has not said hello."""

    deadline: float
    origin: str
    expected: _Peer | None
    peer: _Peer | None = None
    """Known from its certificate."""


class TlsTransport:
    """All methods and callbacks run on the thread that polls *poller* and calls tick()."""

    def __init__(
        self,
        me: str,
        listen: str,
        peers: Mapping[str, str],
        tls: TlsFiles,
        cluster_id: str,
        poller: Poller,
        on_refused: Callable[[str], None],
        *,
        settings: TransportSettings | None = None,
        incarnation: int = 0,
    ) -> None:
        """*listen* and the values of *peers* (by replica id) are ``host:port``; names are
        resolved here and never again. *on_refused* gets, in words, who was turned away and why.
        *incarnation* rises at every start of this replica; 0 turns the check off.

        Raises OSError (port in use, unknown name, unreadable file) and ssl.SSLError."""
        self._me = me
        self._cluster_id = cluster_id
        self._poller = poller
        self._settings = settings or TransportSettings()
        self._refusals = Refusals(on_refused, self._settings.refusal_interval_s)
        self._hello = RaftFrame(
            cluster_id=cluster_id, incarnation=incarnation, keep_alive=KeepAlive()
        ).SerializeToString()
        self._idle = RaftFrame(keep_alive=KeepAlive()).SerializeToString()
        self._client_context = context(ssl.PROTOCOL_TLS_CLIENT, tls)
        self._server_context = context(ssl.PROTOCOL_TLS_SERVER, tls)
        self._peers = {
            id: _Peer(id, address, dialled=_order(me) > _order(id)) for id, address in peers.items()
        }
        for peer in self._peers.values():
            if peer.dialled:
                peer.place = resolve(peer.address)
        self._attempts: dict[Connection, _Attempt] = {}
        self._of_link: dict[Connection, _Peer] = {}
        self._on_frame: OnFrame = _ignore_frame
        self._on_up: OnPeer = _ignore_peer
        self._on_down: OnPeer = _ignore_peer
        self._now = 0.0
        self._check_at = 0.0
        self._listener: socket.socket | None = open_listener(listen)
        self._paused_until = 0.0
        self._watch_listener()

    @property
    def port(self) -> int:
        """The port that it really listens on."""
        assert self._listener is not None
        port: int = self._listener.getsockname()[1]
        return port

    def set_handler(self, on_frame: OnFrame, on_up: OnPeer, on_down: OnPeer) -> None:
        self._on_frame, self._on_up, self._on_down = on_frame, on_up, on_down

    def connected(self, peer_id: str) -> bool:
        """A frame sent now would be taken: the link is up and its window is not full."""
        peer = self._peers.get(peer_id)
        return peer is not None and peer.link is not None and peer.link.writable

    def send(self, peer_id: str, frame: RaftFrame) -> bool:
        """Queued for the peer, or False: no link, or its window is full. Never calls back.

        Raises ValueError for a frame that no replica would take."""
        peer = self._peers.get(peer_id)
        if peer is None or peer.link is None:
            return False
        payload = frame.SerializeToString()
        if len(payload) > self._settings.frame_bytes_max:
            raise ValueError(f"frame of {len(payload)} bytes for replica {peer_id} is too long")
        return peer.link.send(payload)

    def destroy(self) -> None:
        """Closes everything, without callbacks. Safe within a callback; may be repeated."""
        self._on_frame, self._on_up, self._on_down = _ignore_frame, _ignore_peer, _ignore_peer
        if self._listener is not None:
            self._poller.unsubscribe(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for connection in [*self._attempts, *self._of_link]:
            connection.close()
        self._attempts.clear()
        self._of_link.clear()
        for peer in self._peers.values():
            peer.link = None

    def tick(self, now: float) -> None:
        """Timeouts, keep-alives and dialling. *now* in seconds, monotonic; cheap to call often."""
        if now < self._check_at or self._listener is None:
            return
        # After a pause of this very process, what peers sent is waiting to be read. The first
        # tick counts as one: it moves what was noted at 0.0.
        paused_s = now - self._check_at
        grace_s = paused_s if paused_s > self._settings.silence_s / 4 else 0.0
        self._now = now
        self._check_at = now + _CHECK_S
        if self._paused_until and now >= self._paused_until:
            self._watch_listener()
        for connection, attempt in list(self._attempts.items()):
            attempt.deadline += grace_s
            if now >= attempt.deadline:
                connection.fail(f"no answer in time ({connection.phase.name.lower()})")
        for peer in self._peers.values():
            if self._listener is not None:  # A callback may destroy the transport.
                self._check_peer(peer, grace_s)

    def _check_peer(self, peer: _Peer, grace_s: float) -> None:
        link, now = peer.link, self._now
        if link is None:
            if peer.dialled and now >= peer.redial_at:
                self._dial(peer)
            return
        if link.heard:
            link.heard = False
            peer.heard_at = now
        else:
            peer.heard_at += grace_s
            if now - peer.heard_at >= self._settings.silence_s:
                link.fail(f"silent for {self._settings.silence_s} s")
                return
        if link.spoke:
            link.spoke = False
            peer.spoke_at = now
        elif now - peer.spoke_at >= self._settings.keepalive_s - _CHECK_S:
            link.send(self._idle)

    # Opening connections

    def _dial(self, peer: _Peer) -> None:
        # Set until the attempt ends, whichever way.
        peer.redial_at = float("inf")
        assert peer.place is not None
        family, place = peer.place
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            log.warning("cannot dial replica %s: %s", peer.id, error)
            self._redial_later(peer)
            return
        sock.setblocking(False)
        number = sock.connect_ex(place)
        if number not in (0, errno.EINPROGRESS):
            sock.close()
            self._redial_later(peer)
            return
        deadline = self._now + self._settings.connect_timeout_s
        attempt = _Attempt(deadline, f"replica {peer.id} at {peer.address}", peer)
        self._add(sock, self._client_context, attempt)

    def _redial_later(self, peer: _Peer) -> None:
        peer.redial_s = min(
            max(peer.redial_s * 2, self._settings.redial_s), self._settings.redial_max_s
        )
        peer.redial_at = self._now + peer.redial_s

    def _watch_listener(self) -> None:
        assert self._listener is not None
        self._paused_until = 0.0
        self._poller.subscribe(self._listener.fileno(), self._on_accept, READ | ERROR)

    def _on_accept(self, _fd: int, _mask: int) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            if self._listener is None:
                return
            try:
                sock, place = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _PAUSE_ERRORS:
                    # The listener stays readable: without a pause the thread would spin on it.
                    log.error("cannot accept connections of replicas: %s", error)
                    self._poller.unsubscribe(self._listener.fileno())
                    self._paused_until = self._now + self._settings.connect_timeout_s
                    return
                continue  # That connection is gone (ECONNABORTED and its like).
            self._make_room()
            deadline = self._now + self._settings.handshake_timeout_s
            self._add(sock, self._server_context, _Attempt(deadline, str(place[0]), None))

    def _make_room(self) -> None:
        strangers = [c for c, attempt in self._attempts.items() if attempt.expected is None]
        if len(strangers) >= self._settings.strangers_max:
            strangers[0].fail("more connections than can be checked at once")

    def _add(self, sock: socket.socket, context: ssl.SSLContext, attempt: _Attempt) -> None:
        connection = Connection(
            sock,
            context,
            self._poller,
            self,
            dialled=attempt.expected is not None,
            frame_bytes_max=_HELLO_BYTES_MAX,
            window_bytes=self._settings.window_bytes,
        )
        self._attempts[connection] = attempt
        connection.start()

    # What connections report (raft.connection.Receiver)

    def on_open(self, connection: Connection) -> None:
        attempt = self._attempts[connection]
        try:
            attempt.peer = self._judge(
                replica_in(connection.certificate(), self._cluster_id), attempt
            )
        except Refused as refusal:
            self._refuse(attempt, str(refusal))
            connection.fail("refused")
            return
        attempt.deadline = self._now + self._settings.handshake_timeout_s
        connection.send(self._hello)

    def on_payload(self, connection: Connection, payload: bytes) -> None:
        try:
            frame = RaftFrame.FromString(payload)
        except DecodeError:
            connection.fail("sent something that is not a frame")
            return
        peer = self._of_link.get(connection)
        if peer is None:
            self._greet(connection, frame)
            return
        incarnation = frame.incarnation
        if incarnation and incarnation != peer.incarnation:
            if incarnation < peer.incarnation:
                return
            peer.incarnation = incarnation
        if not frame.HasField("keep_alive"):
            self._on_frame(peer.id, frame)

    def on_close(self, connection: Connection, cause: str, error: OSError | None) -> None:
        peer = self._of_link.pop(connection, None)
        if peer is not None:
            log.warning("link to replica %s is down: %s", peer.id, cause)
            peer.link = None
            peer.redial_at = self._now
            self._on_down(peer.id)
            return
        attempt = self._attempts.pop(connection)
        if is_refusal(error):
            self._refuse(attempt, cause)
        elif attempt.peer is not None and cause != "refused":
            self._refusals.warn(
                f"{attempt.origin} ended the connection before its hello", self._now
            )
        else:
            log.debug("connection with %s ended: %s", attempt.origin, cause)
        if attempt.expected is not None:
            self._redial_later(attempt.expected)

    def _judge(self, replica_id: str, attempt: _Attempt) -> _Peer:
        """The peer that *replica_id* is; raises Refused when it may not be at this end."""
        peer = self._peers.get(replica_id)
        if peer is None:
            raise Refused(f"its certificate is of replica {replica_id}, which is not our peer")
        if attempt.expected is not None and peer is not attempt.expected:
            raise Refused(f"its certificate is of replica {replica_id}")
        if attempt.expected is None and peer.dialled:
            raise Refused(f"its certificate is of replica {replica_id}, which we dial ourselves")
        return peer

    def _greet(self, connection: Connection, frame: RaftFrame) -> None:
        """The first frame: from here on the peer is connected, in place of an older link."""
        attempt = self._attempts[connection]
        peer = attempt.peer
        assert peer is not None
        if frame.cluster_id != self._cluster_id or not frame.HasField("keep_alive"):
            connection.fail("did not begin with a hello of this front-end")
            return
        if frame.incarnation and frame.incarnation < peer.incarnation:
            self._refuse(
                attempt,
                f"it says to be start {frame.incarnation} of replica {peer.id}, but start "
                f"{peer.incarnation} was seen: a second process, or its data was put back",
            )
            connection.fail("refused")
            return
        if peer.link is not None:
            peer.link.fail("replaced by a newer connection")
        # The callback may have destroyed the transport.
        if connection.phase is not Phase.OPEN:
            return
        del self._attempts[connection]
        self._of_link[connection] = peer
        peer.link = connection
        peer.incarnation = max(peer.incarnation, frame.incarnation)
        peer.heard_at = peer.spoke_at = self._now
        peer.redial_s = 0.0
        connection.frame_bytes_max = self._settings.frame_bytes_max
        log.info("link to replica %s is up", peer.id)
        self._on_up(peer.id)

    def _refuse(self, attempt: _Attempt, why: str) -> None:
        self._refusals.add(f"{attempt.origin}: {why}", self._now)


def _order(replica_id: str) -> tuple[int, str]:
    """Ids are numbers written out: 2 comes before 10."""
    return len(replica_id), replica_id


def _ignore_frame(_peer_id: str, _frame: RaftFrame) -> None:
    """Before set_handler and after destroy."""


def _ignore_peer(_peer_id: str) -> None:
    """Before set_handler and after destroy."""
