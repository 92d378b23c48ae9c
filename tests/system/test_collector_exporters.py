# SPDX-License-Identifier: Apache-2.0
"""Who may send: a list that is enforced, and one that is learned."""

import signal
import socket

import pytest

from exports import TEMPLATE, data, ipfix, record
from waiting import until


@pytest.fixture
def collector(runner, port):
    def start(*arguments, ready=True):
        begin = runner.start_ready if ready else runner.start
        return begin("postern-collector", "--listen", f"udp://127.0.0.1:{port}",
                     "--publish", "all", "--output", "json:-", *arguments)
    return start


def send(port, address, *payloads):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
        exporter.bind((address, 0))
        for payload in payloads:
            exporter.sendto(payload, ("127.0.0.1", port))


GOOD = ipfix(TEMPLATE, data(record()))


def members(path):
    """The addresses of a list, in order."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line]


def test_a_list_is_learned_reviewed_and_enforced(collector, port, work_dir):
    path = work_dir / "exporters"
    program = collector("--exporters", f"learn:{path}")
    send(port, "127.0.3.1", GOOD)
    send(port, "127.0.3.2", GOOD)
    send(port, "127.0.3.3", b"no export at all")           # never sent a record
    until(lambda: sorted(members(path)) == ["127.0.3.1", "127.0.3.2"], "two lines")
    assert "first seen 20" in path.read_text() and path.read_text().startswith("#")
    assert program.metric("postern_collector_learned_exporters_total") == 2
    assert program.stop() == 0

    program = collector("--exporters", f"learn:{path}")    # a restart writes nobody twice
    send(port, "127.0.3.1", GOOD)
    send(port, "127.0.3.4", GOOD)
    until(lambda: len(members(path)) == 3, "one line more")
    assert program.stop() == 0
    assert sorted(members(path)) == ["127.0.3.1", "127.0.3.2", "127.0.3.4"]

    path.write_text("127.0.3.1\n")                         # reviewed
    program = collector("--exporters", path)
    send(port, "127.0.3.1", GOOD)
    for _ in range(100):
        send(port, "127.0.3.4", GOOD)
    refused = 'postern_collector_dropped_total{reason="not-admitted"}'
    until(lambda: program.metric(refused) == 100, "all of the other's are refused")
    assert program.metric("postern_collector_records_total") == 1
    lines = [line for line in program.stderr.splitlines() if "not on the list" in line]
    assert len(lines) == 1, "once an hour, not once a datagram"
    assert "exporter 127.0.3.4" in lines[0] and f'"127.0.3.4" to {path}' in lines[0]
    path.write_text("127.0.3.1\n127.0.3.4\n")              # the line is added
    program.process.send_signal(signal.SIGHUP)
    until(lambda: "reread" in program.stderr, "reloaded")
    send(port, "127.0.3.4", GOOD)
    until(lambda: program.metric("postern_collector_records_total") == 2, "admitted")
    assert program.stop() == 0


def test_learning_begins_and_ends_with_a_reload(collector, port, work_dir):
    path = work_dir / "exporters"
    configuration = work_dir / "postern.conf"

    def say(exporters):
        configuration.write_text(f"[collector]\nexporters = {exporters}\n")

    say("127.0.3.1")
    program = collector("--config", configuration)
    send(port, "127.0.3.2", GOOD)
    until(lambda: "not on the list" in program.stderr, "refused")
    assert "to exporters" in program.stderr, "the list stands in the configuration"
    say(f"learn:{path}")
    program.process.send_signal(signal.SIGHUP)
    until(lambda: program.stderr.count("reread") == 1, "reloaded")
    send(port, "127.0.3.2", GOOD)
    until(lambda: path.exists() and members(path) == ["127.0.3.2"], "learned")
    say(path)
    program.process.send_signal(signal.SIGHUP)
    until(lambda: program.stderr.count("reread") == 2, "reloaded")
    send(port, "127.0.3.3", GOOD)
    send(port, "127.0.3.2", GOOD)
    until(lambda: program.metric("postern_collector_records_total") == 2, "admitted")
    assert program.metric('postern_collector_dropped_total{reason="not-admitted"}') == 2
    assert program.stop() == 0


def test_a_list_that_is_learned_has_an_end(collector, port, work_dir):
    path = work_dir / "exporters"
    path.write_text("".join(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}\n" for n in range(4095)))
    program = collector("--exporters", f"learn:{path}")
    for number in range(1, 6):
        send(port, f"127.0.3.{number}", GOOD)
    until(lambda: "review it" in program.stderr, "a warning")
    assert program.metric("postern_collector_records_total") == 5, "they are served all the same"
    assert program.stop() == 0
    assert len(members(path)) == 4096


def test_a_list_that_cannot_be_written_is_told_at_the_start(collector, work_dir):
    program = collector("--exporters", f"learn:{work_dir}/absent/list", ready=False)
    assert program.expect_failure().wait() != 0
    assert "absent/list" in program.stderr


def test_a_full_disk_leaves_no_torn_line(runner, port, small_disk):
    path = small_disk.seen_from_here / "exporters"
    program = runner.start_ready(
        small_disk.enter[0], *small_disk.enter[1:], runner.path("postern-collector"), "--listen",
        f"udp://127.0.0.1:{port}", "--publish", "all", "--output", "json:-", "--exporters",
        f"learn:{small_disk.path}/exporters")
    with small_disk.filled():
        for number in range(1, 200):  # more than the file's last block has room for
            send(port, f"127.0.3.{number}", GOOD)
        until(lambda: program.metric("postern_collector_unlearned_exporters_total") > 0, "no room")
        until(lambda: program.metric("postern_collector_records_total") == 199, "all are served")
        assert "No space left" in program.stderr
    assert program.stop() == 0
    assert path.read_text().endswith("Z\n")
    assert 0 < len(members(path)) < 199
    assert all(member.startswith("127.0.3.") for member in members(path))
