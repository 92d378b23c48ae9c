# SPDX-License-Identifier: Apache-2.0
"""The collector as a process: what it is told, what it writes, and what it survives."""

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time
from collections import Counter

import pytest

from conftest import ROOT
from exports import (EXPORT_S, LAB, TEMPLATE, data, flows_of, ipfix, record, rss_kib,
                     wait_datagrams)
from waiting import until

NETWORKS = ROOT / "deploy" / "demo" / "networks.txt"
MAIL_PORTS = {25, 465, 587, 2525}


@pytest.fixture
def collector(runner, router):
    """collector(*arguments) starts one that listens to the router."""
    def start(*arguments, output="json:-"):
        return runner.start_ready("postern-collector", "--listen",
                                  f"udp://127.0.0.1:{router.to[1]}", "--output", output,
                                  *arguments)
    return start


def bus_items(programs, path):
    """(partition, item) of postern.smtp in an embedded bus, in order; heartbeats are items too."""
    with sqlite3.connect(path) as bus:
        rows = bus.execute("SELECT partition, data FROM messages WHERE topic = 'postern.smtp' "
                           "ORDER BY partition, rowid").fetchall()
    for partition, batch in rows:
        text = subprocess.run([programs("flowcat"), "decode"], input=batch, capture_output=True,
                              check=True).stdout.decode()
        for line in text.splitlines():
            yield partition, json.loads(line)


def test_mail_and_heartbeats_reach_the_bus(runner, programs, bus_path):
    runner.run("postern-collector", "--read", LAB, "--networks", NETWORKS, "--partitions", 4,
               "--output", f"embedded:{bus_path}")
    items = list(bus_items(programs, bus_path))
    flows = [item for _, item in items if "heartbeat" not in item]
    assert flows
    for flow in flows:
        assert flow["proto"] == 6 and {flow["src_port"], flow["dst_port"]} & MAIL_PORTS
        assert flow["direction"] != "transit"
    assert {"out", "out-reply", "in"} <= {flow["direction"] for flow in flows}
    beats = Counter(partition for partition, item in items if "heartbeat" in item)
    assert len(beats) == 4 and len(set(beats.values())) == 1, beats
    last = {partition: item for partition, item in items}
    assert all("heartbeat" in item for item in last.values()), "a partition ends with its heartbeat"


def test_a_capture_read_and_replayed_gives_the_same_flows(runner, collector, router):
    read = flows_of(runner.run("postern-collector", "--read", LAB, "--publish", "all",
                               "--output", "json:-").stdout)
    program = collector("--publish", "all")
    done = runner.run("postern-replay", LAB, "--to", f"127.0.0.1:{router.to[1]}", "--speed", 0,
                      "--map-senders")
    sent = int(done.stdout.split()[1])
    wait_datagrams(program, sent)
    assert program.stop() == 0
    replayed = flows_of(program.stdout)
    assert len({flow["sampler_address"] for flow in replayed}) == 3
    assert program.stdout.count("127.0.1.") == len(replayed)

    def without_way(flow):
        return tuple(sorted((key, value) for key, value in flow.items()
                            if key not in ("time_received_ns", "sampler_address")))
    assert Counter(map(without_way, read)) == Counter(map(without_way, replayed))


def test_publish_smtp_prints_only_mail_of_our_networks(collector, router):
    program = collector("--networks", "198.18.0.0/15")
    router.send(ipfix(TEMPLATE, data(record(), record(port=80),
                                     record(source="192.0.2.7"),
                                     record(source="203.0.113.5", destination="198.18.0.1",
                                            source_port=25, port=40000))))
    wait_datagrams(program, 1)
    assert program.stop() == 0
    flows = flows_of(program.stdout)
    assert [flow["direction"] for flow in flows] == ["out", "out-reply"]


@pytest.mark.parametrize("arguments,words", [
    ((), "no output"),
    (("--output", "json:-"), "no input"),
    (("--output", "csv:x", "--listen", "udp://127.0.0.1:0"), "kafka://, embedded: or json:"),
    (("--output", "json:-", "--listen", "udp://127.0.0.1:0"), "no networks"),
    (("--output", "json:-", "--listen", "udp://nowhere", "--publish", "all"), "udp://ADDRESS:PORT"),
    (("--output", "json:-", "--listen", "udp://127.0.0.1:0", "--publish", "some"), "smtp"),
    (("--output", "json:-", "--listen", "udp://127.0.0.1:0", "--publish", "all",
      "--sampling", "192.0.2.1"), "EXPORTER=N"),
    (("--output", "json:-", "--listen", "udp://127.0.0.1:0", "--publish", "all",
      "--mail-ports", "smtp"), "no port number"),
])
def test_wrong_usage_says_what_to_write(runner, arguments, words):
    done = runner.run("postern-collector", *arguments, status=2)
    assert words in done.stderr, done.stderr


def test_a_bad_networks_file_is_named_with_its_line(runner, work_dir):
    path = work_dir / "networks"
    path.write_text("198.18.0.0/15\n198.18.0.0/33\n")
    done = runner.run("postern-collector", "--listen", "udp://127.0.0.1:0", "--output", "json:-",
                      "--networks", path, status=2)
    assert f"{path}" in done.stderr and "2" in done.stderr


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)) * 10])
def test_a_file_that_is_no_capture_is_refused(runner, work_dir, content):
    path = work_dir / "file"
    path.write_bytes(content)
    done = runner.run("postern-collector", "--read", path, "--publish", "all", "--output",
                      "json:-", status=1)
    assert str(path) in done.stderr


def test_a_capture_that_breaks_off_gives_what_it_holds(runner, work_dir):
    path = work_dir / "cut.pcap"
    path.write_bytes(LAB.read_bytes()[:60000])
    done = runner.run("postern-collector", "--read", path, "--publish", "all", "--output",
                      "json:-", status=1)
    assert len(done.stdout.splitlines()) > 100
    assert "breaks off" in done.stderr


def test_sighup_rereads_the_networks_and_keeps_them_when_they_are_bad(collector, router, work_dir):
    path = work_dir / "networks"
    path.write_text("192.0.2.0/24\n")
    program = collector("--networks", path, "--publish", "all")

    def reload_with(text, said):
        path.write_text(text)
        program.process.send_signal(signal.SIGHUP)
        until(lambda: said in program.stderr, said)

    router.send(ipfix(TEMPLATE, data(record())))
    wait_datagrams(program, 1)
    reload_with("198.18.0.0/15\n", "reread")
    router.send(ipfix(data(record()), sequence=1))
    wait_datagrams(program, 2)
    reload_with("nonsense\n", "the old rules stay")
    router.send(ipfix(data(record()), sequence=2))
    wait_datagrams(program, 3)
    assert program.stop() == 0
    assert [flow["direction"] for flow in flows_of(program.stdout)] == ["transit", "out", "out"]


def test_the_clock_moves_receive_times(collector, router):
    program = collector("--publish", "all", "--clock", "offset:-86400")
    router.send(ipfix(TEMPLATE, data(record(at_s=EXPORT_S))))
    wait_datagrams(program, 1)
    assert program.stop() == 0
    received = flows_of(program.stdout)[0]["time_received_ns"] / 1e9
    assert abs(time.time() - 86400 - received) < 30


def test_the_operator_may_override_sampling_and_choose_exporters(collector, router):
    program = collector("--publish", "all", "--sampling", "127.0.0.1=1000", "--exporters",
                        "127.0.0.1")
    router.send(ipfix(TEMPLATE, data(record())))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(ipfix(TEMPLATE, data(record())), router.to)
    wait_datagrams(program, 2)
    assert program.metric('postern_collector_dropped_total{reason="not-admitted"}') == 1
    assert program.stop() == 0
    flow, = flows_of(program.stdout)
    assert (flow["sampling_rate"], flow["rate_source"]) == (1000, "operator")


def test_lost_records_are_found_in_the_metrics(collector, router):
    program = collector("--publish", "all")
    router.send(ipfix(TEMPLATE, data(record())), ipfix(data(record()), sequence=1),
                ipfix(data(record()), sequence=40))
    until(lambda: program.metric(
        'postern_collector_exporter_lost_records_total{exporter="127.0.0.1",reason="network"}')
        == 38, "38 records lost on the network")
    until(lambda: "exporter 127.0.0.1: records were lost" in program.stderr, "a line of the log")
    assert "network=38" in program.stderr


def mutated(rand, payload):
    damaged = bytearray(payload)
    for _ in range(rand.randrange(1, 8)):
        damaged[rand.randrange(len(damaged))] = rand.randrange(256)
    return bytes(damaged[:rand.randrange(len(damaged)) if rand.random() < 0.3 else None])


def test_any_bytes_cost_a_counter_and_nothing_else(collector, router):
    program = collector("--publish", "all")
    rand = random.Random(5)
    good = ipfix(TEMPLATE, data(record(), record()))
    router.send(good)
    for burst in range(20):
        router.send(*(mutated(rand, good) if rand.random() < 0.7 else
                      rand.randbytes(rand.randrange(0, 1400)) for _ in range(500)))
        wait_datagrams(program, 1 + (burst + 1) * 500)
    last = ipfix(TEMPLATE, data(record(source="198.18.9.9")), export_s=EXPORT_S + 99)
    router.send(last)
    wait_datagrams(program, 10002)
    assert program.metric("postern_collector_dropped_total") > 500
    assert rss_kib(program) < 200 * 1024
    assert program.stop() == 0
    assert flows_of(program.stdout)[-1]["src_addr"] == "198.18.9.9"
    assert len(program.stderr.splitlines()) < 20, "peers must not flood the log"


def test_memory_is_constant_over_a_million_flows(collector, router, programs, bus_path):
    program = collector("--networks", "198.18.0.0/16", output=f"embedded:{bus_path}")

    def generate(flows):
        told = json.loads(subprocess.run(
            [programs("flowgen"), "--count", str(flows), "--rate", "300000",
             f"127.0.0.1:{router.to[1]}"], check=True, capture_output=True, text=True).stdout)
        return told["datagrams"]

    sent = generate(200000)
    wait_datagrams(program, sent)
    before = rss_kib(program)
    sent += generate(1000000)
    dropped = program.metric("postern_collector_kernel_dropped_datagrams_total")
    wait_datagrams(program, sent - dropped)
    assert rss_kib(program) - before < 4096
    assert program.stop() == 0


def test_a_broker_that_comes_late_gets_everything(runner, router, own_kafka):
    own_kafka.stop()
    metrics = router.to[1] + 1
    program = runner.start(
        "postern-collector", "--listen", f"udp://127.0.0.1:{router.to[1]}", "--output",
        own_kafka.uri, "--networks", "198.18.0.0/15", "--partitions", "2", "--metrics",
        f"127.0.0.1:{metrics}")
    program.url = f"http://127.0.0.1:{metrics}"
    until(lambda: f"udp://127.0.0.1:{router.to[1]}: listening" in program.stderr, "listening")
    router.send(ipfix(TEMPLATE, data(record())))
    wait_datagrams(program, 1)
    with pytest.raises(AssertionError):
        program.wait_ready(f"{program.url}/readyz", timeout_s=1)
    own_kafka.start()
    program.wait_ready(f"{program.url}/readyz", timeout_s=60)
    assert program.stop() == 0
    batches = [payload for partition in range(2)
               for payload in own_kafka.read_all("postern.smtp", partition)]
    flows = [item for batch in batches for item in decode(runner, batch) if "heartbeat" not in item]
    assert [flow["src_addr"] for flow in flows] == ["198.18.0.1"]


def decode(runner, batch):
    text = subprocess.run([runner.path("flowcat"), "decode"], input=batch, capture_output=True,
                          check=True).stdout.decode()
    return [json.loads(line) for line in text.splitlines()]


def test_output_that_nobody_reads_ends_the_program(runner, router):
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [runner.path("postern-collector"), "--listen", f"udp://127.0.0.1:{router.to[1]}",
         "--publish", "all", "--output", "json:-"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.close(reading)

    def gone():
        router.send(ipfix(TEMPLATE, data(record())))
        return process.poll() is not None
    until(gone, "the end of the program")
    assert process.returncode == 1
    assert b"Broken pipe" in process.stderr.read()
