"""One TLS connection between two replicas: handshake, frames in, frames out. Never blocks; its
socket is driven by a poller. Knows nothing of Raft nor of who is allowed."""

from __future__ import annotations

import enum
import errno
import os
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from pysyncobj.poller import POLL_EVENT_TYPE

from protos.channel import split_address

READ: int = POLL_EVENT_TYPE.READ
WRITE: int = POLL_EVENT_TYPE.WRITE
ERROR: int = POLL_EVENT_TYPE.ERROR

Place = tuple[socket.AddressFamily, tuple[object, ...]]
"""A resolved address, as sockets take it."""

_HEADER = struct.Struct(">I")
_RECORD_BYTES = 16 << 10
"""TLS carries at most this much at once, so one read or write never moves more."""

_WRITE_BYTES = 256 << 10
_BYTES_PER_FLUSH = 1 << 20
_READ_BYTES = 64 << 10
_READS_PER_EVENT = 64
"""After so much other connections and the tick get their turn."""


class Poller(Protocol):
    """PySyncObj's: one callback per descriptor; subscribing again replaces mask and callback."""

    def subscribe(
        self, descr: int, callback: Callable[[int, int], None], eventMask: int
    ) -> None: ...

    def unsubscribe(self, descr: int) -> None: ...

    def poll(self, timeout: float) -> None: ...


class Phase(enum.Enum):
    CONNECTING = enum.auto()
    HANDSHAKE = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class Receiver(Protocol):
    """Whoever owns the connection; called on the thread that polls."""

    def on_open(self, connection: Connection) -> None:
        """The TLS handshake is done; nothing has been said yet."""

    def on_payload(self, connection: Connection, payload: bytes) -> None:
        """One whole frame, without its length."""

    def on_close(self, connection: Connection, cause: str, error: OSError | None) -> None:
        """Once, unless the owner closed it. *cause* is for people."""


class Connection:
    """Frames are four bytes of big-endian length, then the payload."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        poller: Poller,
        receiver: Receiver,
        *,
        dialled: bool,
        frame_bytes_max: int,
        window_bytes: int,
    ) -> None:
        """*sock* is accepted, or (*dialled*) connecting; it is owned from here on."""
        self.frame_bytes_max = frame_bytes_max
        """A longer incoming frame ends the connection. The owner may change it."""
        self.heard = False
        """Set whenever bytes arrive; the owner clears it."""
        self.spoke = False
        """Set whenever a frame is sent; the owner clears it."""
        self.dialled = dialled
        self.phase = Phase.CONNECTING
        self._socket = sock
        self._fd = sock.fileno()
        self._context = context
        self._poller = poller
        self._receiver = receiver
        self._mask = 0
        self._window_bytes = window_bytes
        self._full = False
        self._broken = ""
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._writing = memoryview(b"")
        self._partial = bytearray()
        self._partial_wanted = 0

    def start(self) -> None:
        """Subscribes to the poller; callbacks may come before this returns."""
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.dialled:
            self._want(READ | WRITE | ERROR)
        else:
            self._begin_tls()

    def certificate(self) -> dict[str, Any]:
        """The verified certificate of the other side, as ``ssl.SSLSocket.getpeercert`` has it."""
        assert isinstance(self._socket, ssl.SSLSocket)
        return self._socket.getpeercert() or {}

    @property
    def writable(self) -> bool:
        """False: not open, or the window is full and not yet half drained."""
        return self.phase is Phase.OPEN and not self._full and not self._broken

    def send(self, payload: bytes) -> bool:
        """Queues one frame and writes what the socket takes. False: nothing was queued.

        Never calls the receiver: a failure is reported from the next poll."""
        if self.phase is not Phase.OPEN or self._broken or self._full:
            return False
        size = len(payload) + 4
        # A frame as large as the window passes when nothing else waits.
        if self._queued_bytes and self._queued_bytes + size > self._window_bytes:
            self._full = True
            return False
        waiting = self._queued_bytes > 0
        self._queue.append(_HEADER.pack(len(payload)) + payload)
        self._queued_bytes += size
        self.spoke = True
        if not waiting:
            self._flush()
        return not self._broken

    def close(self) -> None:
        """At once and without a callback; what is queued is dropped."""
        if self.phase is Phase.CLOSED:
            return
        self.phase = Phase.CLOSED
        self._poller.unsubscribe(self._fd)
        self._socket.close()
        # The poller remembers its callback, and so this object, until the number is used again.
        self._queue.clear()
        self._queued_bytes = 0
        self._writing = memoryview(b"")
        self._partial = bytearray()

    def fail(self, cause: str, error: OSError | None = None) -> None:
        """Closes and tells the receiver."""
        if self.phase is not Phase.CLOSED:
            self.close()
            self._receiver.on_close(self, cause, error)

    def _on_event(self, _fd: int, mask: int) -> None:
        # The poller may still report a descriptor that was closed earlier in the same round.
        if self.phase is Phase.OPEN:
            if mask & WRITE:
                self._flush()
            if mask & (READ | ERROR):
                self._read()
        elif self.phase is Phase.CONNECTING:
            self._finish_connect()
        elif self.phase is Phase.HANDSHAKE:
            self._handshake()

    def _want(self, mask: int) -> None:
        if mask != self._mask:
            self._mask = mask
            self._poller.subscribe(self._fd, self._on_event, mask)

    def _finish_connect(self) -> None:
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self.fail(os.strerror(number))
            return
        try:
            self._socket.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                self.fail(str(error))
            return  # Not connected yet: the event was another descriptor's.
        self._begin_tls()

    def _begin_tls(self) -> None:
        try:
            self._socket = self._context.wrap_socket(
                self._socket, server_side=not self.dialled, do_handshake_on_connect=False
            )
        except OSError as error:
            self.fail(f"closed before the TLS handshake: {error}")
            return
        self.phase = Phase.HANDSHAKE
        self._handshake()

    def _handshake(self) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._want(READ | ERROR)
            return
        except ssl.SSLWantWriteError:
            self._want(READ | WRITE | ERROR)
            return
        except OSError as error:
            self.fail(describe(error), error)
            return
        self.phase = Phase.OPEN
        self._want(READ | ERROR)
        self._receiver.on_open(self)

    def _read(self) -> None:
        if self._broken:
            # shutdown() has taken TLS off the socket: what it still holds is cipher text.
            self.fail(self._broken)
            return
        for _ in range(_READS_PER_EVENT):
            try:
                data = self._socket.recv(_READ_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self.fail(describe(error), error)
                return
            if not data:
                self.fail("closed by the other side")
                return
            self.heard = True
            self._take(data)
            # One read gives one TLS record, and a small frame is a record of its own. All that
            # has arrived is taken in one round: a round costs a sync, and queues would build up.
            if self.phase is not Phase.OPEN:
                return

    def _take(self, data: bytes) -> None:
        """Hands over the frames that *data* completes and keeps the rest."""
        whole: bytes | bytearray = data
        if self._partial:
            self._partial += data
            if len(self._partial) < self._partial_wanted:
                return
            whole, self._partial = self._partial, bytearray()
        view = memoryview(whole)
        start, end = 0, len(whole)
        while start < end:
            wanted = 4
            if end - start >= 4:
                (size,) = _HEADER.unpack_from(whole, start)
                if size > self.frame_bytes_max:
                    self.fail(f"sent a frame of {size} bytes, above {self.frame_bytes_max}")
                    return
                wanted += size
            if end - start < wanted:
                self._partial = bytearray(view[start:])
                self._partial_wanted = wanted
                return
            self._receiver.on_payload(self, bytes(view[start + 4 : start + wanted]))
            if self.phase is not Phase.OPEN:
                return
            start += wanted

    def _flush(self) -> None:
        budget = _BYTES_PER_FLUSH
        while self._queued_bytes:
            if budget <= 0:
                self._want(READ | WRITE | ERROR)
                return
            if not self._writing:
                self._writing = self._next_piece()
            try:
                sent = self._socket.send(self._writing[:_WRITE_BYTES])
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                # OpenSSL must get the same bytes again: _writing is kept as it is.
                self._want(READ | WRITE | ERROR)
                return
            except OSError as error:
                self._break(describe(error))
                return
            self._writing = self._writing[sent:]
            budget -= sent
            self._queued_bytes -= sent
            if self._full and self._queued_bytes <= self._window_bytes // 2:
                self._full = False
        self._want(READ | ERROR)

    def _next_piece(self) -> memoryview:
        """The first frame, or as many small ones as fit into one TLS record."""
        queue = self._queue
        first = queue.popleft()
        if not queue or len(first) + len(queue[0]) > _RECORD_BYTES:
            return memoryview(first)
        pieces, size = [first], len(first)
        while queue and size + len(queue[0]) <= _RECORD_BYTES:
            size += len(queue[0])
            pieces.append(queue.popleft())
        return memoryview(b"".join(pieces))

    def _break(self, cause: str) -> None:
        """Ends the connection from within send(): the poller then reports its end, and the
        receiver is told outside of the call that it made."""
        self._broken = cause
        self._want(READ | ERROR)
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise


def describe(error: OSError) -> str:
    """In words: what TLS found, or what the kernel said."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid here: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        words = error.reason.lower().replace("_", " ")
        return f"it turned our certificate down: {words}" if "_ALERT_" in error.reason else words
    return error.strerror or str(error)


def resolve(address: str) -> Place:
    """The first address of ``host:port``. Blocks; raises OSError."""
    host, port = split_address(address)
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise OSError(f"cannot resolve {address}: {error}") from error
    return family, place


def open_listener(address: str) -> socket.socket:
    """A listening socket that does not block. Raises OSError."""
    family, place = resolve(address)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    listener.setblocking(False)
    return listener
