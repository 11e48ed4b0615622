"""Many operations over one stream."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import pairwise

from frontend.api.pipeline import IN_FLIGHT_MAX, PipelineService, Verb
from frontend.auth.callers import Caller
from protos.identity import USER
from protos.v1 import pipeline_pb2 as wire
from protos.v1 import template_pb2, vm_pb2
from protos.v1.vm_pb2 import GetVmRequest
from tests.frontend.front_end import FrontEnd, Stubs


def answers(
    stubs: Stubs, messages: Iterable[list[wire.Operation]]
) -> dict[int, wire.OperationResult]:
    """Sends *messages*; every answer by the id of its operation, each of them once."""
    requests = (wire.PipelineRequest(operations=operations) for operations in messages)
    found: dict[int, wire.OperationResult] = {}
    for response in stubs.pipelines.Pipeline(iter(requests)):
        for result in response.results:
            assert result.id not in found
            found[result.id] = result
    return found


def create(number: int, name: str) -> wire.Operation:
    template = template_pb2.Template(name=name, vcpu=1, memory_mib=64)
    return wire.Operation(
        id=number,
        create_template=template_pb2.CreateTemplateRequest(
            request_id=uuid.uuid4().hex, template=template
        ),
    )


def test_every_operation_is_answered_by_its_id(front_end: FrontEnd) -> None:
    messages = [[create(10 * m + n, f"pipe-{m}-{n}") for n in range(10)] for m in range(10)]
    found = answers(front_end.admin, messages)
    assert {number: result.template.name for number, result in found.items()} == {
        10 * m + n: f"pipe-{m}-{n}" for m in range(10) for n in range(10)
    }


def test_one_refusal_leaves_the_others_alone(front_end: FrontEnd) -> None:
    found = answers(front_end.admin, [[create(1, "fine"), create(2, "fine"), create(3, "other")]])
    reasons = {number: result.error.reason for number, result in found.items()}
    assert sorted(reasons.values()) == ["", "", "already_exists"]
    assert found[3].template.name == "other"


def test_reads_and_changes_share_the_stream(front_end: FrontEnd) -> None:
    made = front_end.template("read-in-pipe")
    get = wire.Operation(id=1, get_template=template_pb2.GetTemplateRequest(id=made.id))
    missing = wire.Operation(id=2, get_vm=GetVmRequest(id=10**6))
    listed = wire.Operation(id=3, list_vms=vm_pb2.ListVmsRequest())
    delete = wire.Operation(
        id=4,
        delete_template=template_pb2.DeleteTemplateRequest(
            request_id="go", id=front_end.template("go").id
        ),
    )
    found = answers(front_end.admin, [[get, missing, listed, delete]])
    assert found[1].template == made
    assert (found[2].error.reason, found[2].error.retry) == ("not_found", False)
    assert found[3].WhichOneof("result") == "vms"
    assert found[4].WhichOneof("result") == "deleted_template"


def test_unknown_operation_is_refused_alone(front_end: FrontEnd) -> None:
    unknown = wire.Operation.FromString(b"\x08\x09\xfa\x3e\x00")
    found = answers(front_end.admin, [[unknown, create(1, "beside-unknown")]])
    assert found[9].error.reason == "unimplemented"
    assert found[1].template.name == "beside-unknown"


def test_unknown_field_of_a_change_is_refused_alone(front_end: FrontEnd) -> None:
    request = template_pb2.DeleteTemplateRequest.FromString(b"\x10\x01\xb8\x3e\x01")
    found = answers(front_end.admin, [[wire.Operation(id=1, delete_template=request)]])
    assert found[1].error.reason == "invalid_argument"


def test_more_than_fits_in_flight_is_answered_too(front_end: FrontEnd) -> None:
    made = front_end.template("read-often")
    total = 2 * IN_FLIGHT_MAX + 1

    def messages() -> Iterator[list[wire.Operation]]:
        for first in range(0, total, 500):
            yield [
                wire.Operation(id=n, get_template=template_pb2.GetTemplateRequest(id=made.id))
                for n in range(first, min(first + 500, total))
            ]

    assert len(answers(front_end.admin, messages())) == total


def test_ends_in_good_order_when_nothing_was_asked(front_end: FrontEnd) -> None:
    assert answers(front_end.admin, []) == {}


ANN = Caller(kind=USER, name="ann", actor="user/ann", expire_ms=1 << 62)


class Held:
    """A stream whose operations are answered, and whose answers are taken, when the test says."""

    def __init__(self, weight: int, template: template_pb2.Template | None = None) -> None:
        self.started = 0
        self.answer = asyncio.Event()
        self.take = asyncio.Event()
        self.taken = 0
        self._template = template or template_pb2.Template()
        verb = Verb(
            handler=self._handle,
            result="template",
            path="/skyraft.v1.TemplateService/GetTemplate",
            changes=False,
            weight=weight,
        )
        self.service = PipelineService({"get_template": verb})

    async def _handle(self, caller: Caller, request: object) -> template_pb2.Template:
        self.started += 1
        await self.answer.wait()
        return self._template

    async def _send(self, response: wire.PipelineResponse) -> None:
        await self.take.wait()
        self.taken += len(response.results)

    async def run(self, *messages: int) -> None:
        """Messages of so many operations each."""

        async def requests() -> AsyncIterator[wire.PipelineRequest]:
            for count in messages:
                yield wire.PipelineRequest(operations=[one] * count)

        one = wire.Operation(get_template=template_pb2.GetTemplateRequest())
        await self.service.pipeline(ANN, requests(), self._send)

    async def settled(self) -> int:
        """Operations started once no more are."""
        before, still = -1, 0
        while still < 50:
            still = still + 1 if before == self.started else 0
            before = self.started
            await asyncio.sleep(0)
        return before


def test_one_message_starts_no_more_than_may_be_in_flight() -> None:
    async def scenario() -> None:
        held = Held(weight=256)
        running = asyncio.ensure_future(held.run(100))
        assert await held.settled() == IN_FLIGHT_MAX // 256
        held.answer.set()
        held.take.set()
        await running
        assert held.taken == 100

    asyncio.run(scenario())


def test_client_that_takes_no_answers_gets_no_more_started() -> None:
    async def scenario() -> None:
        held = Held(weight=1, template=template_pb2.Template(description="x" * (1 << 20)))
        held.answer.set()
        running = asyncio.ensure_future(held.run(*[1] * 1000))
        assert await held.settled() < 300
        held.take.set()
        await running
        assert held.taken == 1000

    asyncio.run(scenario())


def test_other_calls_get_their_turn_while_a_large_message_is_started() -> None:
    async def scenario() -> None:
        held = Held(weight=1)
        running = asyncio.ensure_future(held.run(4000))
        turns = [held.started]
        while held.started < 4000:
            await asyncio.sleep(0)
            turns.append(held.started)
        assert max(late - early for early, late in pairwise(turns)) < 200
        held.answer.set()
        held.take.set()
        await running

    asyncio.run(scenario())
