# SPDX-License-Identifier: Apache-2.0
"""Hostile exporters beside good ones: the good ones lose nothing, and the collector stays small.

The attacks are paced: what a flood beyond the speed of the machine does is docs/collector.md's
matter. At this pace some of them once took more than a whole processor; `tests/bench/run hostile`
says what they cost now.
"""

import random
import struct
import time

import pytest

from exports import (EXPORT_S, TEMPLATE, Router, data, flows_of, ipfix, options, record, rss_kib,
                     set_of, template, wait_datagrams)
from waiting import until

GOOD = 3            # exporters, at 127.0.0.11 and on
STEPS = 60          # good datagrams of each
RECORDS = 4
PER_STEP = 12       # hostile datagrams beside each round of good ones
STEP_S = 0.012
SHORT, LONG = 1400, 16000


def fill(room, piece):
    """Pieces 0, 1, … until they have `room` bytes."""
    pieces, size, number = [], 0, 0
    while size < room:
        pieces.append(piece(number))
        size += len(pieces[-1])
        number += 1
    return b"".join(pieces)


def random_bytes(rand, i):
    return rand.randbytes(SHORT)


def random_sets(rand, i):
    return ipfix(rand.randbytes(SHORT), sequence=i)


def lengths_that_lie(rand, i):
    whole = ipfix(TEMPLATE, data(record()), sequence=i)
    return whole[:2] + struct.pack("!H", rand.randrange(65536)) + whole[4:rand.randrange(17, 90)]


def new_templates(rand, i):
    return ipfix(set_of(2, fill(SHORT, lambda n: struct.pack(
        "!HHHH", 256 + (i * 170 + n) % 65000, 1, 8, 4))))


def changed_templates(rand, i):
    """Told again and again beside a hold that is full."""
    held = set_of(60000, bytes(8)) * 8
    return ipfix(held, set_of(2, fill(SHORT, lambda n: struct.pack(
        "!HHHH", 256 + n % 16, 1, 8, 4 + (i + n // 16) % 2))))


def wide_templates(rand, i):
    return ipfix(set_of(2, struct.pack("!HH", 256, 1024) + b"".join(
        struct.pack("!HH", 1 + n % 300, 1 + (n + i) % 2 * 3) for n in range(1024))))


def held_sets(rand, i):
    return ipfix(fill(SHORT, lambda n: set_of(10000 + (i * 100 + n) % 5000, bytes(8))))


def options_storm(rand, i):
    return ipfix(options(300, 1, (302, 4), (34, 4)), set_of(300, fill(SHORT, lambda n: struct.pack(
        "!II", i * 200 + n, 1000))))


def tiny_records(rand, i):
    return ipfix(template(257, (7, 1)), set_of(257, bytes(LONG)))


def tiny_sets(rand, i):
    return ipfix(template(257, (4, 1)), set_of(257, b"\6") * (LONG // 5))


def deep_lists(rand, i):
    """Templates of nothing but lists (RFC 6313), and records of lists in lists."""
    lists = template(257, (11, 2), *((292, 65535) for _ in range(1000)))
    return ipfix(lists, set_of(257, bytes(LONG)))


def withdrawals(rand, i):
    return ipfix(set_of(2, struct.pack("!HH", 2, 0) * (LONG // 4)))


def many_domains(rand, i):
    return fill(SHORT, lambda n: ipfix(domain=i * 90 + n))


def domains_with_everything(rand, i):
    return ipfix(template(256, *((8, 4),) * 300), set_of(999, bytes(200)), domain=i)


ATTACKS = [random_bytes, random_sets, lengths_that_lie, new_templates, changed_templates,
           wide_templates, held_sets, options_storm, tiny_records, tiny_sets, deep_lists,
           withdrawals, many_domains, domains_with_everything]


@pytest.fixture
def collector(runner, free_port):
    """A collector with a small socket queue; collector.port is where it listens."""
    def start(*arguments):
        port = free_port()
        program = runner.start_ready(
            "postern-collector", "--listen", f"udp://127.0.0.1:{port}", "--networks",
            "198.18.0.0/15", "--output", "json:-", "--rcvbuf", "4M", *arguments)
        program.port = port
        return program
    return start


def wait_arrived(program, number):
    """Until all are taken, or dropped at the socket: Good.check says so then."""
    until(lambda: program.metric("postern_collector_datagrams_total") + program.metric(
        "postern_collector_kernel_dropped_datagrams_total") >= number, f"{number} arrived")


def lost(program, exporter):
    return program.metric_of("postern_collector_exporter_lost_records_total", exporter=exporter)


class Good:
    """Good exporters that count what they send."""

    def __init__(self, port):
        self.routers = [Router(port, f"127.0.0.{11 + n}") for n in range(GOOD)]
        self.sent = 0

    def step(self, step):
        for router in self.routers:
            first = step * RECORDS
            mails = [record(source_port=10000 + first + n) for n in range(RECORDS)]
            sets = [TEMPLATE] if step % 20 == 0 else []
            router.send(ipfix(*sets, data(*mails), sequence=first))
            self.sent += 1

    def check(self, program):
        """Nothing of theirs is lost, by the ledger and by the flows themselves."""
        assert program.metric("postern_collector_kernel_dropped_datagrams_total") == 0
        for router in self.routers:
            assert lost(program, router.address) == 0
        assert program.stop() == 0
        flows = [(flow["sampler_address"], flow["src_port"]) for flow in flows_of(program.stdout)]
        expected = {(router.address, 10000 + n) for router in self.routers
                    for n in range(STEPS * RECORDS)}
        assert set(flows) >= expected
        assert len([flow for flow in flows if flow in expected]) == len(expected)


def play(program, good, senders, attack):
    """Attack and good datagrams side by side; waits until the collector has taken them all."""
    rand = random.Random(attack.__name__)
    hostile = 0
    for step in range(STEPS):
        due = time.monotonic() + STEP_S
        for _ in range(PER_STEP):
            senders[hostile % len(senders)].send(attack(rand, hostile))
            hostile += 1
        good.step(step)
        time.sleep(max(0, due - time.monotonic()))  # the pace of the attack, not a wait
        wait_arrived(program, hostile + good.sent - 2 * PER_STEP)  # not more than its socket holds
    wait_arrived(program, hostile + good.sent)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_good_exporters_lose_nothing_beside(attack, collector):
    program = collector()
    good = Good(program.port)
    before = rss_kib(program)
    play(program, good, [Router(program.port, "127.0.0.66")], attack)
    assert rss_kib(program) - before < 24 * 1024
    assert len(program.stderr.splitlines()) < 25, program.stderr
    good.check(program)


def test_good_exporters_lose_nothing_beside_senders_without_number(collector):
    program = collector("--exporters-max", "400")
    good = Good(program.port)
    good.step(0)
    wait_datagrams(program, GOOD)
    before = rss_kib(program)
    forged = [Router(program.port, f"127.1.{n // 250}.{1 + n % 250}") for n in range(600)]
    hostile = 0
    for step in range(1, STEPS):
        for _ in range(PER_STEP):
            forged[hostile % len(forged)].send(ipfix(TEMPLATE, data(record(port=80)),
                                                     set_of(999, bytes(300))))
            hostile += 1
        good.step(step)
        time.sleep(STEP_S / 4)  # the pace of the attack, not a wait
        wait_arrived(program, hostile + good.sent - 2 * PER_STEP)
    wait_arrived(program, hostile + good.sent)
    assert program.metric("postern_collector_exporters") == 400
    assert program.metric_of("postern_collector_dropped_total", reason="exporters-bound") > 0
    assert rss_kib(program) - before < 24 * 1024
    assert "is not taken: too many exporters" in program.stderr
    good.check(program)


def test_a_list_of_exporters_keeps_senders_without_number_out(collector):
    program = collector("--exporters", "127.0.0.8/29")
    good = Good(program.port)
    for step in range(STEPS):
        Router(program.port, f"127.1.0.{1 + step}").send(ipfix(TEMPLATE, data(record())))
        good.step(step)
    wait_datagrams(program, STEPS + good.sent)
    assert program.metric_of("postern_collector_dropped_total", reason="not-admitted") == STEPS
    assert program.metric("postern_collector_exporters") == GOOD
    strangers = [line for line in program.stderr.splitlines() if "is not taken" in line]
    assert len(strangers) <= 1, strangers
    good.check(program)


def test_a_forged_session_does_not_touch_the_real_one(collector):
    """Same address, another port: its templates, withdrawals and storms are its own."""
    program = collector()
    good = Good(program.port)
    forger = Router(program.port, good.routers[0].address)
    good.step(0)
    wait_datagrams(program, GOOD)

    def forged(rand, i):
        other = template(256, (12, 4), (8, 4), (11, 2), (7, 2), (4, 1), (6, 1), (152, 8), (153, 8))
        return rand.choice((ipfix(other), withdrawals(rand, i), changed_templates(rand, i),
                            ipfix(other, data(record(port=80)), sequence=i)))
    play(program, good, [forger], forged)
    assert program.stop() == 0
    flows = {(flow["sampler_address"], flow["src_port"]) for flow in flows_of(program.stdout)
             if flow["dst_port"] == 25 and flow["src_addr"] == "198.18.0.1"}
    assert flows >= {(router.address, 10000 + n) for router in good.routers
                     for n in range(STEPS * RECORDS)}


def test_a_forged_template_lasts_until_the_next_real_one(collector):
    """Address and port forged: nothing can tell it apart, so the damage is what is bounded."""
    program = collector()
    real = Router(program.port, "127.0.0.11", shared=True)
    forger = Router(program.port, "127.0.0.11", real.source_port, shared=True)
    swapped = template(256, (12, 4), (8, 4), (11, 2), (7, 2), (4, 1), (6, 1), (152, 8), (153, 8))
    real.send(ipfix(TEMPLATE, data(record(source_port=10001))))
    wait_datagrams(program, 1)
    forger.send(ipfix(swapped, sequence=1))
    wait_datagrams(program, 2)
    real.send(ipfix(data(record(source_port=10002)), sequence=1))
    wait_datagrams(program, 3)
    real.send(ipfix(TEMPLATE, data(record(source_port=10003)), sequence=2))
    wait_datagrams(program, 4)
    assert program.stop() == 0
    ports = {flow["src_port"]: flow for flow in flows_of(program.stdout)}
    assert ports[10001]["direction"] == ports[10003]["direction"] == "out"
    assert 10002 not in ports, "read by the forged layout"


def test_a_flood_of_bad_input_is_a_few_lines_of_the_log(collector):
    program = collector()
    rand = random.Random(7)
    router = Router(program.port, "127.0.0.11")
    router.send(ipfix(TEMPLATE, data(record())))
    sent = 1
    deadline = time.monotonic() + 3.5  # several looks of the log, which comes once a second
    while time.monotonic() < deadline:
        for _ in range(50):
            router.send(ipfix(data(record()), sequence=rand.randrange(1 << 32),
                              export_s=EXPORT_S - rand.randrange(9999)),
                        lengths_that_lie(rand, sent), random_bytes(rand, sent))
            sent += 3
        time.sleep(0.02)  # the pace of the flood, not a wait
    wait_datagrams(program, sent)
    assert program.stop() == 0
    lines = [line for line in program.stderr.splitlines() if "exporter 127.0.0.11:" in line]
    assert 1 <= len(lines) <= 3, program.stderr
    assert any("sent what is not used" in line and "reason=" in line for line in lines)
    assert len(program.stderr.splitlines()) < 12, program.stderr


def test_memory_is_bounded_however_many_forged_domains_ask_for_it(collector):
    """Every bound at once: senders, domains, templates and held data."""
    program = collector("--exporters-max", "50", "--hold-bytes-all", "4M")
    forged = [Router(program.port, f"127.2.0.{1 + n}") for n in range(50)]
    sent = 0
    wide = template(256, *((8, 4),) * 300)
    for domain in range(130):
        for router in forged:
            router.send(ipfix(wide, set_of(999, bytes(1000)), domain=domain))
            sent += 1
        time.sleep(0.01)  # the pace of the attack, not a wait
    wait_datagrams(program, sent)
    assert program.metric("postern_collector_held_bytes") <= 4 << 20
    assert rss_kib(program) < 150 * 1024
    assert program.metric("process_resident_memory_bytes") < 150 << 20
    assert program.stop() == 0


def test_messages_of_a_few_bytes_in_masses_are_read_in_part_only(collector):
    program = collector()
    router = Router(program.port, "127.0.0.66")
    router.send(ipfix(TEMPLATE, data(record())))
    wait_datagrams(program, 1)
    router.send(ipfix() * 2000)
    until(lambda: program.metric('postern_collector_dropped_total{reason="messages"}') == 1,
          "the rest of them is dropped")
    assert program.metric("postern_collector_messages_total") <= 1 + 32 + 16 * 2000 / 512
    router.send(ipfix(TEMPLATE) + b"".join(ipfix(data(record())) for _ in range(20)))
    until(lambda: program.metric("postern_collector_records_total") == 21, "what exporters glue")
