# SPDX-License-Identifier: Apache-2.0
"""IPFIX over TCP: real exporters, torn messages, and peers that misbehave."""

import os
import resource
import socket
import struct
import subprocess
import time

import pytest

from exports import EXPORT_S, TEMPLATE, data, flows_of, ipfix, record, set_of
from waiting import until

CLOSED = 'postern_collector_tcp_closed_total{reason="%s"}'


@pytest.fixture
def collector(runner, port):
    """collector(*arguments) starts one that listens on TCP."""
    def start(*arguments, output="json:-", publish="all"):
        return runner.start_ready("postern-collector", "--listen", f"tcp://127.0.0.1:{port}",
                                  "--publish", publish, "--output", output, *arguments)
    return start


@pytest.fixture
def connect(port):
    """connect(address) makes a connection from there."""
    made = []

    def start(address="127.0.0.1"):
        made.append(socket.create_connection(("127.0.0.1", port), 10, (address, 0)))
        made[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made[-1]
    yield start
    for connection in made:
        connection.close()


def wait_metric(program, name, value):
    until(lambda: program.metric(name) == value, f"{name} = {value}, is {program.metric(name)}")


def wait_records(program, number):
    wait_metric(program, "postern_collector_records_total", number)


def wait_closed(program, reason, number=1):
    wait_metric(program, CLOSED % reason, number)


def is_closed(connection):
    """Did the other side end it?"""
    connection.settimeout(10)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def softflowd(traffic, port, *arguments):
    subprocess.run(["softflowd", "-r", traffic, "-v", "10", "-n", f"127.0.0.1:{port}", "-c", "none",
                    "-d", *arguments], capture_output=True, check=True, timeout=60,
                   stdin=subprocess.DEVNULL)


def write_traffic(path, flows=300):
    """A capture of mail: a few packets of each session, from a port of its own."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for number in range(flows):
            for part in range(1 + number % 3):
                tcp = struct.pack("!HHIIBBHHH", 20000 + number, 25, 1, 1, 0x50, 0x18, 1000, 0, 0)
                body = bytes(100 + number)
                ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + len(body), 1, 0, 64, 6, 0,
                                 socket.inet_aton("198.18.0.1"), socket.inet_aton("203.0.113.5"))
                packet = bytes(12) + b"\x08\x00" + ip + tcp + body
                out.write(struct.pack("<IIII", EXPORT_S + part, number, len(packet), len(packet)))
                out.write(packet)
    return path


def same_traffic(flows):
    return sorted((flow["src_port"], flow["dst_port"], flow["bytes"], flow["packets"])
                  for flow in flows)


def test_softflowd_says_the_same_over_tcp_as_over_udp(collector, runner, port, work_dir):
    traffic = write_traffic(work_dir / "mail.pcap")
    program = collector("--listen", f"udp://127.0.0.1:{port}")
    softflowd(traffic, port, "-P", "tcp")
    wait_closed(program, "peer")
    softflowd(traffic, port)
    until(lambda: program.stdout.count("\n") >= 600, "flows of both")
    assert program.stop() == 0
    found = flows_of(program.stdout)
    assert len(found) == 600
    tcp, udp = found[:300], found[300:]
    assert same_traffic(tcp) == same_traffic(udp)
    assert same_traffic(tcp)[7] == (20007, 25, 2 * 147, 2)


def test_an_exporter_made_of_libfixbuf(collector, runner, port):
    program = collector()
    runner.run("fixbufsend", "127.0.0.1", port, 5000)
    wait_records(program, 5000)
    wait_closed(program, "peer")
    assert program.stop() == 0
    assert [flow["bytes"] for flow in flows_of(program.stdout)] == list(range(1, 5001))


def test_messages_torn_into_single_bytes(collector, connect):
    program = collector()
    connection = connect()
    stream = ipfix(TEMPLATE, data(record())) + ipfix(data(record(), record()), sequence=1)
    for at in range(len(stream)):
        connection.send(stream[at:at + 1])
    wait_records(program, 3)
    assert program.metric("postern_collector_messages_total") == 2
    assert program.stop() == 0


def test_connections_that_interleave_are_sessions_of_their_own(collector, connect):
    """Two connections of one exporter and domain give one number two meanings; the pieces of
    their messages arrive in turn."""
    program = collector()
    swapped = ((12, 4), (8, 4), (7, 2), (11, 2), (4, 1), (6, 1), (152, 8), (153, 8))
    other = set_of(2, struct.pack("!HH", 256, len(swapped))
                   + b"".join(struct.pack("!HH", *field) for field in swapped))
    streams = [ipfix(TEMPLATE) + b"".join(ipfix(data(record()), sequence=n) for n in range(50)),
               ipfix(other) + b"".join(ipfix(data(record()), sequence=n) for n in range(50))]
    connections = [connect(), connect()]
    for at in range(0, len(streams[0]), 37):
        for connection, stream in zip(connections, streams):
            connection.sendall(stream[at:at + 37])
    wait_records(program, 100)
    for what in ("lost_records", "duplicates", "restarts"):
        assert program.metric(f"postern_collector_exporter_{what}_total") == 0, what
    assert program.stop() == 0
    sources = [flow["src_addr"] for flow in flows_of(program.stdout)]
    assert sources.count("198.18.0.1") == 50 and sources.count("203.0.113.5") == 50


def test_templates_go_with_their_connection(collector, connect):
    program = collector()
    first = connect()
    first.sendall(ipfix(TEMPLATE, data(record())))
    wait_records(program, 1)
    first.close()
    wait_closed(program, "peer")
    second = connect()
    second.sendall(ipfix(data(record())))
    wait_metric(program, "postern_collector_held_sets_total", 1)
    second.close()
    wait_closed(program, "peer", 2)
    wait_metric(program, 'postern_collector_dropped_total{reason="no-template"}', 1)
    assert program.metric("postern_collector_held_bytes") == 0
    assert program.stop() == 0


def netflow_v9():
    return struct.pack("!HHIIII", 9, 0, 1, 2, 3, 4)


@pytest.mark.parametrize("what,reason", [
    (netflow_v9(), "version"),
    (b"GET / HTTP/1.1\r\n\r\n", "version"),
    (bytes(20), "version"),
    (struct.pack("!HHIII", 10, 15, 0, 0, 0), "length"),
], ids=["v9", "http", "zeros", "short"])
def test_what_is_no_ipfix_closes_the_connection(collector, connect, what, reason):
    program = collector()
    good, bad = connect("127.0.0.2"), connect("127.0.0.3")
    good.sendall(ipfix(TEMPLATE, data(record())))
    bad.sendall(ipfix(TEMPLATE, data(record())) + what)
    assert is_closed(bad)
    wait_closed(program, reason)
    wait_records(program, 2)
    for _ in range(30):  # again and again: a counter, and no flood of the log
        again = connect("127.0.0.3")
        again.sendall(what)
        assert is_closed(again)
    wait_closed(program, reason, 31)
    good.sendall(ipfix(data(record()), sequence=1))
    wait_records(program, 3)
    assert program.stop() == 0
    lines = [line for line in program.stderr.splitlines() if "connection closed" in line]
    assert len(lines) == 1 and "exporter 127.0.0.3" in lines[0] and f"reason={reason}" in lines[0]


def test_a_set_that_lies_costs_its_message_only(collector, connect):
    program = collector()
    connection = connect()
    lying = ipfix(struct.pack("!HH", 256, 5000) + record())
    connection.sendall(ipfix(TEMPLATE) + lying + ipfix(data(record()), sequence=1))
    wait_metric(program, 'postern_collector_dropped_total{reason="set-length"}', 1)
    wait_records(program, 2)
    assert program.metric("postern_collector_tcp_connections") == 1
    assert program.stop() == 0


def test_a_message_cut_off_is_counted(collector, connect):
    program = collector()
    connection = connect()
    connection.sendall(ipfix(TEMPLATE, data(record())) + ipfix(data(*[record()] * 10))[:-40])
    wait_records(program, 1)
    connection.close()
    wait_closed(program, "cut")
    lost = 'postern_collector_exporter_lost_records_total{exporter="127.0.0.1",reason="malformed"}'
    until(lambda: program.metric(lost) > 0, "the loss is in the ledger")
    assert program.stop() == 0


def test_a_connection_that_says_nothing_is_closed(collector, connect):
    program = collector("--tcp-idle", "1")
    silent, dripping = connect(), connect()
    dripping.sendall(b"\x00\x0a")
    wait_closed(program, "idle", 2)
    assert is_closed(silent) and is_closed(dripping)
    assert program.stop() == 0


def test_connections_are_bounded(collector, connect):
    program = collector("--tcp-connections", "4", "--tcp-connections-each", "2")
    first, second = connect("127.0.0.2"), connect("127.0.0.2")
    for connection in (first, second):
        connection.sendall(ipfix(TEMPLATE, data(record())))
    wait_records(program, 2)
    second.sendall(ipfix(data(record()), sequence=1))
    wait_records(program, 3)
    third = connect("127.0.0.2")
    assert is_closed(first), "the one that is idle longest makes room"
    wait_closed(program, "replaced")
    third.sendall(ipfix(TEMPLATE, data(record())))
    wait_records(program, 4)
    for address in ("127.0.0.3", "127.0.0.4"):
        connect(address).sendall(ipfix(TEMPLATE, data(record())))
    wait_records(program, 6)
    assert is_closed(connect("127.0.0.5")), "nobody's is taken away for a stranger"
    wait_closed(program, "full")
    second.sendall(ipfix(data(record()), sequence=2))
    wait_records(program, 7)
    assert program.stop() == 0


def test_who_is_not_on_the_list_is_not_let_in(collector, connect, work_dir):
    path = work_dir / "exporters"
    path.write_text("127.0.0.2\n127.0.0.3\n")
    program = collector("--exporters", path)
    assert is_closed(connect("127.0.0.9"))
    wait_closed(program, "not-admitted")
    stays, goes = connect("127.0.0.2"), connect("127.0.0.3")
    for connection in (stays, goes):
        connection.sendall(ipfix(TEMPLATE, data(record())))
    wait_records(program, 2)
    path.write_text("127.0.0.2\n")
    program.process.send_signal(1)
    assert is_closed(goes)
    wait_closed(program, "not-admitted", 2)
    stays.sendall(ipfix(data(record()), sequence=1))
    wait_records(program, 3)
    assert program.stop() == 0


def cpu_s(program):
    with open(f"/proc/{program.process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_no_descriptor_left_does_not_spin(collector, connect):
    program = collector()
    held = connect()
    held.sendall(ipfix(TEMPLATE, data(record())))
    wait_records(program, 1)
    open_now = 1 + max(map(int, os.listdir(f"/proc/{program.process.pid}/fd")))
    before = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (open_now, 20000))
    waiting = [connect(f"127.0.0.{10 + n}") for n in range(8)]
    until(lambda: "no new connection" in program.stderr, "a line of the log")
    used, since = cpu_s(program), time.monotonic()
    for sequence in range(1, 21):  # meanwhile the others are served
        held.sendall(ipfix(data(record()), sequence=sequence))
        until(lambda: program.stdout.count("\n") == sequence + 1, "the next flow", pause_s=0.1)
    assert cpu_s(program) - used < (time.monotonic() - since) / 2, "it must not spin"
    resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, before)
    for connection in waiting:
        connection.sendall(ipfix(TEMPLATE, data(record())))
    wait_records(program, 29)
    assert program.metric("postern_collector_tcp_accept_failures_total") >= 1
    assert program.stderr.count("no new connection") == 1
    assert program.stop() == 0


def test_the_end_takes_what_has_arrived(collector, connect):
    program = collector()
    connection = connect()
    connection.sendall(ipfix(TEMPLATE, data(record())))
    wait_records(program, 1)
    program.process.send_signal(19)  # SIGSTOP: what is sent now waits in the kernel
    for sequence in range(1, 1001):
        connection.sendall(ipfix(data(record(), record()), sequence=sequence))
    late = connect("127.0.0.2")
    late.sendall(ipfix(TEMPLATE, data(record(source="198.18.7.7"))))
    program.process.send_signal(15)
    program.process.send_signal(18)
    assert program.wait() == 0
    flows = flows_of(program.stdout)
    assert len(flows) == 2002 and flows[-1]["src_addr"] == "198.18.7.7"


def test_connections_reach_their_addresss_worker(runner, port, connect, bus_path):
    program = runner.start_ready("postern-collector", "--listen",
                                 f"tcp://127.0.0.1:{port},udp://127.0.0.1:{port}", "--workers", 3,
                                 "--publish", "all", "--output", f"embedded:{bus_path}")
    for number in range(1, 31):
        for _ in range(2):
            connect(f"127.0.6.{number}").sendall(ipfix(TEMPLATE, data(record())))
    wait_records(program, 60)
    assert program.metric("postern_collector_exporters") == 30
    assert program.metric("postern_collector_tcp_connections") == 60
    assert program.metric(CLOSED % "elsewhere") == 0
    assert program.stop() == 0
