"""Agents and consoles while leadership moves: the test plays the agent, over real sessions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.testbed.replicas import Replicas
from frontend.auth.certificates import create_request
from protos.channel import Credentials
from protos.v1 import agent_pb2 as wire
from protos.v1 import cluster_pb2, token_pb2, vm_pb2
from tests.drills.callers import ANSWER_S, Callers, make_template
from tests.frontend.agent import Agent
from tests.frontend.front_end import wait_for

pytestmark = pytest.mark.drill


class Host:
    """Enrolled at one replica; connects to whichever it is told to."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        network = cluster_pb2.Network(bridge="br0", cidr="10.9.0.0/24")
        cluster = callers.admin.clusters.CreateCluster(
            cluster_pb2.CreateClusterRequest(
                cluster=cluster_pb2.Cluster(name="edge", network=network)
            )
        )
        token = callers.admin.tokens.CreateToken(
            token_pb2.CreateTokenRequest(kind=token_pb2.TOKEN_KIND_JOIN, cluster_id=cluster.id)
        )
        csr, self._key = create_request("host")
        ca_pem = callers.replicas.ca.read_bytes()
        nobody = callers.open(callers.replicas.token_addresses, Credentials(ca_pem=ca_pem))
        self._enrolled = nobody.agents.Enroll(
            wire.EnrollRequest(request_id="join", token=token.secret, csr_pem=csr.decode()),
            timeout=ANSWER_S,
        )

    def at(self, address: str) -> Agent:
        credentials = Credentials(
            ca_pem=self._enrolled.ca_pem.encode(),
            certificate_pem=self._enrolled.certificate_pem.encode(),
            key_pem=self._key,
        )
        return Agent(self._callers.open([address], credentials), self._enrolled.host_id)


def test_follower_names_the_leader_to_an_agent(replicas: Replicas, callers: Callers) -> None:
    host, leader = Host(callers), callers.leader()
    with host.at(replicas.addresses[(leader + 1) % 3]) as lost:
        told = lost.next("not_leader").not_leader.leader_address
    assert told == replicas.addresses[leader]
    with host.at(told) as agent:
        assert agent.next("welcome").welcome.leader_id == replicas.members[leader].id


def test_operation_in_flight_survives_the_leader_and_happens_once(
    replicas: Replicas, callers: Callers
) -> None:
    host, leader = Host(callers), callers.leader()
    template = make_template(callers.admin, "in-flight")
    vm = callers.admin.vms.CreateVm(vm_pb2.CreateVmRequest(template_id=template.id))
    with host.at(replicas.addresses[leader]) as agent:
        agent.next("welcome")
        agent.report_inventory()
        prepare = agent.next("task").task
        replicas.kill(leader)
    successor = callers.leader()
    with host.at(replicas.addresses[successor]) as agent:
        welcome = agent.next("welcome").welcome
        assert welcome.term > prepare.term
        assert [(guest.vm_id, guest.epoch) for guest in welcome.expected] == [(vm.id, 1)]
        again = agent.next("task").task
        assert (again.id, again.epoch, again.kind) == (prepare.id, prepare.epoch, prepare.kind)
        agent.do(again)
        agent.do(again)
        agent.do(agent.next("task").task)
        running = callers.admin.vms.GetVm(vm_pb2.GetVmRequest(id=vm.id))
        assert (running.lcm_state, running.epoch) == (vm_pb2.LCM_STATE_RUNNING, 1)


def test_agents_are_told_when_leadership_is_handed_over(
    replicas: Replicas, callers: Callers
) -> None:
    host, leader = Host(callers), callers.leader()
    target = (leader + 1) % 3
    with host.at(replicas.addresses[leader]) as agent:
        agent.next("welcome")
        callers.admin.clusters.TransferLeadership(
            cluster_pb2.TransferLeadershipRequest(target_id=replicas.members[target].id),
            timeout=ANSWER_S,
        )
        agent.next("not_leader")
    with host.at(replicas.addresses[target]) as agent:
        agent.next("welcome")


def test_console_is_read_through_any_replica(replicas: Replicas, callers: Callers) -> None:
    host, leader = Host(callers), callers.leader()
    template = make_template(callers.admin, "with-console")
    vm = callers.admin.vms.CreateVm(vm_pb2.CreateVmRequest(template_id=template.id))
    request = vm_pb2.ReadVmConsoleRequest(id=vm.id)

    def placed() -> bool:
        found = callers.admin.vms.GetVm(vm_pb2.GetVmRequest(id=vm.id))
        return bool(found.HasField("host_id"))

    with host.at(replicas.addresses[leader]) as agent, ThreadPoolExecutor() as pool:
        agent.next("welcome")
        agent.report_inventory()
        wait_for("the placement", placed)
        for member in range(3):
            stubs = callers.of(member)
            answer = pool.submit(stubs.vms.ReadVmConsole, request, timeout=ANSWER_S)
            query = agent.next("console").console
            reply = wire.ConsoleReply(query_id=query.query_id, data=b"login %d" % member)
            agent.say(console=reply)
            assert answer.result().data == b"login %d" % member
