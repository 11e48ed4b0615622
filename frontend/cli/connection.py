"""Talks to the replicas of one context: calls, pages, and watches that outlive a replica."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from frontend.cli.contexts import Context
from frontend.cli.errors import CliError, from_rpc, unavailable, usage
from frontend.cli.nouns import Noun

if TYPE_CHECKING:
    import grpc

CALL_TIMEOUT_S = 20.0
"""Longer than a replica waits for a leader, so that its own answer arrives first."""

_RECONNECT_MAX_S = 2.0


class Connection:
    """One channel over all replicas of *context*, or over *addresses* of it alone."""

    def __init__(
        self,
        context: Context,
        *,
        addresses: tuple[str, ...] = (),
        timeout_s: float = CALL_TIMEOUT_S,
        on_reconnect: Callable[[str], None] | None = None,
    ) -> None:
        """Reads the credentials; dials on first use. Raises a usage error for missing files.

        *on_reconnect* is told the cause when a watch loses its replica."""
        # gRPC's own log lines mean nothing to the person at the terminal: the cause is printed.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        self.context = context
        self.addresses = addresses or context.addresses
        self._timeout_s = timeout_s
        self._on_reconnect = on_reconnect
        self._channel = _open(context, self.addresses)

    def close(self) -> None:
        self._channel.close()

    def method(self, noun: Noun, verb: str) -> Any:
        """The callable of the stub: `method(VM, "Get")`, `method(CLUSTER, "GetStatus")`."""
        grpc_module = importlib.import_module(f"protos.v1.{noun.name}_pb2_grpc")
        stub = getattr(grpc_module, f"{noun.message}ServiceStub")(self._channel)
        return getattr(stub, noun.method(verb))

    def call(self, noun: Noun, verb: str, /, request: Any = None, **fields: Any) -> Any:
        """``call(VM, "Get", id=3)``. Raises CliError, also after every retry failed."""
        if request is None:
            request = noun.request(verb, **fields)
        with self.failures(noun, request):
            return self.method(noun, verb)(request, timeout=self._timeout_s)

    @contextmanager
    def failures(self, noun: Noun, request: Any = None, *, diagnose: bool = True) -> Iterator[None]:
        """Turns gRPC's errors into CliErrors; with *diagnose*, finds out why nobody answers."""
        import grpc

        try:
            yield
        except grpc.RpcError as error:
            failure = from_rpc(error, noun.name, request)
            if diagnose and failure.reason in ("unavailable", "deadline_exceeded"):
                from frontend.cli.diagnosis import explain

                found = explain(self.context, self.addresses, failure.next_step)
                if found is None and failure.reason == "deadline_exceeded":
                    found = unavailable(
                        f"no answer within {self._timeout_s:.0f} s", failure.next_step
                    )
                failure = found or failure
            raise failure from error

    def pages(self, noun: Noun, /, *, page_size: int, stale: bool, **fields: Any) -> Iterator[Any]:
        """Every page of a list, each asked for when the one before is used up."""
        token = ""
        while True:
            page = self.call(
                noun, "List", page_size=page_size, page_token=token, stale=stale, **fields
            )
            yield page
            token = page.next_page_token
            if not token:
                return

    def watch(
        self,
        noun: Noun,
        make_request: Callable[[int], Any],
        after: int,
        *,
        deadline: float | None = None,
    ) -> Iterator[Any]:
        """The answers of ``Watch<Noun>s``; *make_request* is given the revision to go on from.

        Goes on from the last revision when its replica is lost, however often; so make another
        call first, whose failure tells that nobody answers at all. *deadline* is on the
        monotonic clock; at it the iterator ends. Leaving the loop ends the stream."""
        attempt = 0
        while deadline is None or time.monotonic() < deadline:
            remaining_s = None if deadline is None else max(deadline - time.monotonic(), 0.01)
            request = make_request(after)
            stream = self.method(noun, "Watch")(request, timeout=remaining_s, wait_for_ready=True)
            cause = "the stream ended"
            try:
                with self.failures(noun, diagnose=False):
                    for answer in stream:
                        attempt = 0
                        after = max(after, answer.revision)
                        yield answer
            except CliError as error:
                if deadline is not None and time.monotonic() >= deadline:
                    return
                if error.reason != "unavailable":
                    raise
                cause = error.cause
            finally:
                stream.cancel()
            if self._on_reconnect is not None:
                self._on_reconnect(cause)
            time.sleep(min(0.1 * 2**attempt, _RECONNECT_MAX_S))
            attempt += 1


def _open(context: Context, addresses: tuple[str, ...]) -> grpc.Channel:
    from protos.channel import Credentials, open_channel

    next_step = "`skyraft context show` tells the files and addresses that are used"
    try:
        credentials = Credentials.load(
            ca=context.ca, certificate=context.certificate, key=context.key, token=context.token
        )
    except OSError as error:
        raise usage(f"cannot read {error.filename}: {error.strerror}", next_step) from error
    try:
        return open_channel(addresses, credentials)
    except ValueError as error:
        raise usage(str(error), next_step) from error
    except OSError as error:
        raise unavailable(str(error), next_step) from error
