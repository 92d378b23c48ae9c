# SPDX-License-Identifier: Apache-2.0
"""What the collector knows of its exporters outlives it: real processes, ended in every way."""

import socket
import sqlite3
import struct
from contextlib import closing

import pytest

from exports import (EXPORT_S, FIELDS, TEMPLATE, data, flows_of, ipfix, record, set_of,
                     wait_datagrams)
from waiting import until

# scope: exporter's process; data: 1 of 1000
SAMPLER = set_of(3, struct.pack("!HHHHHHH", 300, 2, 1, 144, 4, 34, 4))
SAMPLED = set_of(300, struct.pack("!II", 1, 1000))
LOST = "postern_collector_exporter_lost_records_total{exporter=\"127.0.0.1\",reason=\"%s\"}"


@pytest.fixture
def collector(runner, router, work_dir):
    """collector(…) starts one that keeps its state in work_dir/state."""
    def start(*arguments, state=work_dir / "state", output="json:-"):
        return runner.start_ready(
            "postern-collector", "--listen", f"udp://127.0.0.1:{router.to[1]}", "--output", output,
            "--publish", "all", "--state", state, *arguments)
    return start


def saved(program):
    return program.metric("postern_collector_state_saves_total")


def wait_saved(program, router):
    """Until all that came so far is in the file: of two saves the second began after it."""
    before = saved(program)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))

        def twice():
            other.sendto(ipfix(TEMPLATE), router.to)
            return saved(program) >= before + 2
        until(twice, "two saves", pause_s=0.2)


def teach(program, router):
    """Template and rate, and five records."""
    router.send(ipfix(TEMPLATE, SAMPLER, SAMPLED), ipfix(data(*[record()] * 5), sequence=1))
    wait_datagrams(program, 2)


def end(program, router, how):
    if how == "kill":
        wait_saved(program, router)
        program.kill()
    else:
        assert program.stop() == 0, program.describe()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_next_one_decodes_at_once_and_states_what_it_missed(collector, router, how):
    first = collector()
    teach(first, router)
    end(first, router, how)
    second = collector()
    router.send(ipfix(data(record(source="198.18.7.7")), sequence=6 + 40))
    wait_datagrams(second, 1)
    until(lambda: second.metric(LOST % "down") == 40, "40 records that nobody heard")
    assert second.metric(LOST % "network") == 0
    assert second.metric("postern_collector_resumed_templates_total") == 2
    assert second.stop() == 0
    flow, = flows_of(second.stdout)
    assert flow["src_addr"] == "198.18.7.7"
    assert (flow["sampling_rate"], flow["rate_source"]) == (1000, "options")
    words = "ended=cleanly" if how == "stop" else "ended=killed"
    assert words in second.stderr, second.stderr


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_template_alone_is_kept(collector, router, how):
    first = collector()
    router.send(ipfix(TEMPLATE))
    wait_datagrams(first, 1)
    end(first, router, how)
    second = collector()
    router.send(ipfix(data(record())))
    wait_datagrams(second, 1)
    assert second.stop() == 0
    assert len(flows_of(second.stdout)) == 1


def test_restart_with_other_workers_loses_nothing(collector, router, bus_path):
    output = f"embedded:{bus_path}"
    first = collector("--workers", "1", output=output)
    teach(first, router)
    end(first, router, "stop")
    second = collector("--workers", "2", output=output)
    router.send(ipfix(data(record()), sequence=6 + 3))
    wait_datagrams(second, 1)
    until(lambda: second.metric(LOST % "down") == 3, "3 records that nobody heard")
    assert second.metric("postern_collector_flows_total") == 1
    assert second.stop() == 0


def test_exporter_that_started_anew_meanwhile_is_asked_for_its_templates(collector, router):
    def v9(*sets, uptime_ms, sequence):
        header = struct.pack("!HHIIII", 9, len(sets), uptime_ms, EXPORT_S, sequence, 0)
        return header + b"".join(sets)
    fields = b"".join(struct.pack("!HH", *field) for field in FIELDS)
    template = set_of(0, struct.pack("!HH", 256, len(FIELDS)) + fields)
    first = collector()
    router.send(v9(template, data(record()), uptime_ms=86400000, sequence=70000))
    wait_datagrams(first, 1)
    end(first, router, "stop")
    second = collector()
    router.send(v9(data(record()), uptime_ms=30000, sequence=1))
    wait_datagrams(second, 1)
    until(lambda: second.metric("postern_collector_held_sets_total") == 1, "data that waits")
    router.send(v9(template, uptime_ms=30500, sequence=2))
    wait_datagrams(second, 2)
    assert second.stop() == 0
    assert len(flows_of(second.stdout)) == 1
    assert "records were lost" not in second.stderr


@pytest.mark.parametrize("damage", ["cut", "bytes", "text", "newer"])
def test_file_that_cannot_be_used_is_moved_away_and_begun_anew(collector, router, work_dir, damage):
    first = collector()
    teach(first, router)
    end(first, router, "stop")
    state = work_dir / "state"
    if damage == "cut":
        state.write_bytes(state.read_bytes()[:5000])
    elif damage == "bytes":
        content = bytearray(state.read_bytes())
        content[4096:] = bytes(b ^ 0xa5 for b in content[4096:])
        state.write_bytes(content)
    elif damage == "text":
        state.write_text("this is no database, but somebody's notes\n" * 100)
    else:
        with closing(sqlite3.connect(state)) as file, file:
            file.execute("PRAGMA user_version = 99")
    second = collector()
    assert f"{state}.unusable" in second.stderr
    assert (work_dir / "state.unusable").exists()
    teach(second, router)
    end(second, router, "stop")
    third = collector()
    router.send(ipfix(data(record()), sequence=6))
    wait_datagrams(third, 1)
    assert third.stop() == 0
    assert len(flows_of(third.stdout)) == 1


def test_items_that_break_a_rule_are_left_out(collector, router, work_dir):
    first = collector()
    teach(first, router)
    end(first, router, "stop")
    with closing(sqlite3.connect(work_dir / "state")) as file, file:
        file.execute("UPDATE memory SET image = CAST(X'01000301000902FFFFFFFF' || image AS BLOB)")
        file.execute("INSERT INTO sequence VALUES ('nobody', 1, 1, X'00'), ('::1', -5, 0, X'FF')")
    second = collector()
    router.send(ipfix(data(record()), sequence=6), ipfix(TEMPLATE, sequence=7))
    wait_datagrams(second, 2)
    until(lambda: second.metric("postern_collector_state_items_refused_total") > 0, "refused")
    assert second.stop() == 0
    assert len(flows_of(second.stdout)) == 1, "held, and decoded when the template came"


def test_another_programs_database_is_left_alone(runner, work_dir):
    state = work_dir / "other.db"
    with closing(sqlite3.connect(state)) as file, file:
        file.execute("CREATE TABLE theirs (a)")
    before = state.read_bytes()
    done = runner.run("postern-collector", "--listen", "udp://127.0.0.1:0", "--publish", "all",
                      "--output", "json:-", "--state", state, status=2)
    assert "another program's database" in done.stderr
    assert state.read_bytes() == before


def test_two_collectors_do_not_share_a_file(runner, collector, work_dir):
    collector()
    done = runner.run("postern-collector", "--listen", "udp://127.0.0.1:0", "--publish", "all",
                      "--output", "json:-", "--state", work_dir / "state", status=2)
    assert "another collector has it" in done.stderr


def test_full_disk_costs_the_memory_and_nothing_else(runner, router, small_disk, free_port):
    state = small_disk.path / "state"
    metrics = free_port()

    def start():
        program = runner.start(
            *small_disk.enter, runner.path("postern-collector"), "--listen",
            f"udp://127.0.0.1:{router.to[1]}", "--output", "json:-", "--publish", "all", "--state",
            state, "--metrics", f"127.0.0.1:{metrics}")
        program.url = f"http://127.0.0.1:{metrics}"
        program.wait_ready(f"{program.url}/readyz")
        return program
    first = start()
    with small_disk.filled():
        teach(first, router)
        until(lambda: first.metric("postern_collector_state_failures_total") > 0, "a failure")
        router.send(ipfix(data(record()), sequence=6))
        wait_datagrams(first, 3)
    wait_saved(first, router)
    first.kill()
    second = start()
    router.send(ipfix(data(record()), sequence=7))
    wait_datagrams(second, 1)
    assert second.stop() == 0
    assert len(flows_of(second.stdout)) == 1


def test_nothing_is_kept_unless_asked_where_files_or_lines_are_the_output(runner, work_dir, router):
    program = runner.start_ready("postern-collector", "--listen",
                                 f"udp://127.0.0.1:{router.to[1]}", "--output",
                                 f"json:{work_dir}/flows.json", "--publish", "all")
    router.send(ipfix(TEMPLATE, data(record())))
    wait_datagrams(program, 1)
    assert program.stop() == 0
    assert not list(work_dir.glob("**/*.state*"))


def test_collector_beside_an_embedded_bus_remembers_by_itself(runner, router, bus_path):
    def start():
        return runner.start_ready("postern-collector", "--listen",
                                  f"udp://127.0.0.1:{router.to[1]}", "--output",
                                  f"embedded:{bus_path}", "--networks", "198.18.0.0/15",
                                  "--producer", "edge/1")
    first = start()
    teach(first, router)
    end(first, router, "stop")
    assert (bus_path.parent / "edge_1.state").exists()
    second = start()
    router.send(ipfix(data(record()), sequence=6))
    wait_datagrams(second, 1)
    until(lambda: second.metric("postern_collector_flows_total") == 1, "a flow")
    assert second.stop() == 0
