# SPDX-License-Identifier: Apache-2.0
"""deploy/hook/nft on a real packet filter, between customers and the world: what is closed is
refused, what is open connects."""

import json
import signal
import subprocess

import pytest

from desk import ENGLISH, GERMAN
from gate import Gate
from test_hook import EXAMPLE, Network
from waiting import until

SCRIPT = EXAMPLE.parent / "nft"
PORTS = [25, 465, 587, 2525, 443]


@pytest.fixture
def gate():
    with Gate([GERMAN, ENGLISH], PORTS) as own:
        yield own


@pytest.fixture
def network(desk):
    return Network(desk)


def dispatch(network, gate, *arguments):
    return network.dispatch(" ".join([str(SCRIPT), *gate.nft]), *arguments)


def give(gate, **order):
    """One order to the script, as the dispatcher gives it."""
    order = {"ports": [], "generation": 1, "ttl_s": None, "reason": "", "case": None, **order}
    return subprocess.run([SCRIPT, *gate.nft], input=json.dumps(order) + "\n", text=True,
                          capture_output=True, check=False)


def wait_open(gate, customer, ports):
    until(lambda: gate.open_ports(customer) == ports, f"{customer} reaches {ports}")


def test_a_block_closes_port_25_of_one_customer_and_a_release_opens_it(network, gate):
    dispatch(network, gate)
    assert gate.open_ports(GERMAN) == PORTS
    network.block()
    network.wait_order("applied")
    assert gate.open_ports(GERMAN) == [465, 587, 2525, 443]
    assert gate.open_ports(ENGLISH) == PORTS
    network.release()
    network.desk.wait_state(GERMAN, "clear")
    assert gate.open_ports(GERMAN) == PORTS


def test_who_abuses_submission_loses_those_ports_too(network, gate):
    number = network.desk.verdict(GERMAN)
    network.desk.query("UPDATE postern.verdict SET pair = 'submission', ports = '{465,587}'"
                       " WHERE id = %s", number)
    network.desk.query("SELECT postern.apply_verdict(%s)", number)
    dispatch(network, gate)
    network.wait_order("applied")
    assert gate.open_ports(GERMAN) == [443]


def test_what_was_flushed_comes_back_with_the_next_comparison(network, gate):
    program = dispatch(network, gate)
    network.block()
    network.wait_order("applied")
    gate.change("flush", "ruleset")
    assert gate.open_ports(GERMAN) == PORTS
    program.process.send_signal(signal.SIGHUP)
    wait_open(gate, GERMAN, PORTS[1:])
    assert "drift" in network.desk.alarms()


def test_a_block_is_refreshed_in_the_packet_filter(network, gate):
    dispatch(network, gate, "--reconcile", "1d")
    network.block()
    network.wait_order("applied")
    assert "timeout 6h" in gate.rules()
    gate.change("delete", "element", "inet", "postern", "ports4", "{", f"{GERMAN} . 25", "}")
    assert gate.open_ports(GERMAN) == PORTS
    network.desk.advance(hours=2)
    wait_open(gate, GERMAN, PORTS[1:])
    assert "drift" not in network.desk.alarms()


def test_without_postern_a_block_opens_by_itself_and_a_freeze_does_not(gate):
    assert give(gate, action="block_ports", unit=GERMAN, ports=[25], ttl_s=2).returncode == 0
    assert give(gate, action="freeze", unit=ENGLISH).returncode == 0
    assert gate.open_ports(GERMAN) == PORTS[1:]
    wait_open(gate, GERMAN, PORTS)
    assert gate.open_ports(ENGLISH) == []


def test_the_switch_opens_everything_and_closes_it_again(network, gate):
    dispatch(network, gate)
    network.block()
    network.wait_order("applied")
    network.desk.cli("enforcement", "lift", "--reason", "all wrong", "--yes")
    wait_open(gate, GERMAN, PORTS)
    assert network.desk.state(GERMAN) == "blocked"
    network.desk.cli("enforcement", "start")
    wait_open(gate, GERMAN, PORTS[1:])


def listed(gate):
    return [json.loads(line) for line in give(gate, action="list").stdout.splitlines()]


def test_the_script_lists_what_it_was_told_for_both_families(gate):
    assert listed(gate) == []
    orders = [{"unit": "192.0.2.7", "action": "block_ports", "ports": [25, 587]},
              {"unit": "2001:db8:1::/64", "action": "block_ports", "ports": [25]},
              {"unit": "2001:db8:1:1::/64", "action": "block_ports", "ports": [25, 465]},
              {"unit": "192.0.2.9", "action": "block_address", "ports": []},
              {"unit": "2001:db8:2::/56", "action": "block_address", "ports": []},
              {"unit": "192.0.2.8", "action": "freeze", "ports": []},
              {"unit": "2001:db8:3::/64", "action": "freeze", "ports": []}]
    for _ in range(2):
        for order in orders:
            assert give(gate, **order, ttl_s=600).returncode == 0
    key = str
    assert sorted(listed(gate), key=key) == sorted(orders, key=key)
    for order in orders:
        assert give(gate, unit=order["unit"], action="open", generation=2).returncode == 0
        assert give(gate, **order, ttl_s=600).returncode == 75, "an older one comes too late"
    assert listed(gate) == []


@pytest.mark.parametrize("order", [
    {"action": "block_ports", "unit": GERMAN, "ports": [25, 443]},
    {"action": "shut", "unit": GERMAN},
])
def test_the_script_closes_nothing_that_is_not_mail(gate, order):
    assert give(gate, **order).returncode == 64
    assert gate.open_ports(GERMAN) == PORTS


def test_a_gate_that_cannot_be_reached_is_no_refusal(gate):
    done = subprocess.run([SCRIPT, "false"], input='{"action":"list"}\n', text=True,
                          capture_output=True, check=False)
    assert done.returncode == 75 and done.stderr
