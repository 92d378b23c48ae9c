# SPDX-License-Identifier: Apache-2.0
"""Recorded exports of real devices against nfdump's answers for the same packets.

A fresh collector per set gets the payloads over UDP, is ended by SIGTERM, and must have printed the
flows that nfdump printed. What legitimately differs stands in docs/collector.md, and here.
"""

import csv
import datetime
import ipaddress
import json
import socket
from collections import Counter
from pathlib import Path

import pytest

from waiting import until

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"

PROTOCOLS = {"TCP": 6, "UDP": 17, "ICMP": 1, "ICMP6": 58, "IGMP": 2, "GRE": 47, "ESP": 50,
             "AH": 51, "PIM": 103, "OSPF": 89, "SCTP": 132, "IPv6": 41, "IPIP": 4, "VRRP": 112}
FLAGS = {"C": 128, "E": 64, "U": 32, "A": 16, "P": 8, "R": 4, "S": 2, "F": 1}


def logstash_sets():
    return [(f"logstash/{path.stem}",
             [CORPUS / "flow-logstash" / "dat" / name
              for name in json.loads(path.read_text())["packets"]],
             CORPUS / "flow-logstash" / "nfdump-1.7.1" / f"{path.stem}.csv")
            for path in sorted((CORPUS / "flow-logstash" / "golden").glob("*.json"))]


def telegraf_sets():
    return [(f"telegraf/{path.name}", sorted(path.glob("*.bin")),
             CORPUS / "flow-telegraf" / "nfdump-1.7.1" / f"{path.name}.csv")
            for path in sorted((CORPUS / "flow-telegraf").iterdir())
            if any(path.glob("*.bin"))]


def all_sets():
    return logstash_sets() + telegraf_sets() if CORPUS.is_dir() else []


pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")


def seconds(text):
    moment = datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())


def flags_of(text):
    return sum(FLAGS.get(letter, 0) for letter in text)


def expected_flows(path):
    """nfdump's rows; its answer for sFlow is none, because the collector reads none."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


def address(text):
    return str(ipaddress.ip_address(text))


def key_of_row(row):
    protocol = PROTOCOLS[row["pr"]] if row["pr"] in PROTOCOLS else int(row["pr"])
    return (address(row["sa"]), address(row["da"]), int(row["sp"]), int(row["dp"]), protocol,
            int(row["ipkt"]), int(row["ibyt"]), flags_of(row["flg"]) & 0x3f)


def key_of_flow(flow):
    return (flow.get("src_addr", "0.0.0.0"), flow.get("dst_addr", "0.0.0.0"),
            flow.get("src_port", 0), flow.get("dst_port", 0), flow.get("proto", 0),
            flow.get("packets", 0), flow.get("bytes", 0), flow.get("tcp_flags", 0) & 0x3f)


def times_of_row(row):
    return seconds(row["ts"]), seconds(row["te"])


def times_of_flow(flow):
    return tuple(flow.get(name, 0) // 10**9 for name in ("time_flow_start_ns", "time_flow_end_ns"))


def send(port, payloads):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        for payload in payloads:
            sender.sendto(payload, ("127.0.0.1", port))


def collect(runner, free_port, payloads):
    """What a fresh collector prints for these payloads."""
    port = free_port()
    program = runner.start_ready(
        "postern-collector", "--listen", f"udp://127.0.0.1:{port}", "--output", "json:-",
        "--publish", "all", "--verify")
    send(port, payloads)
    until(lambda: program.metric("postern_collector_datagrams_total") == len(payloads),
          "all datagrams taken")
    assert program.metric("postern_collector_differing_records_total") == 0
    until(lambda: program.metric("postern_collector_verified_records_total")
          == program.metric("postern_collector_records_total")
          + program.metric("postern_collector_options_records_total"), "a second opinion on each")
    assert program.stop() == 0, program.describe()
    return [json.loads(line) for line in program.stdout.splitlines()]


# Where nfdump 1.7.1 does not say what the packets say (docs/collector.md, "What still differs").
TIMES_NOT_READ_BY_NFDUMP = {
    "logstash/ipfix-netscaler-with-variable-length-fields",  # 154, 155
    "logstash/netflow-9-ie150-ie151",                        # 150, 151
    "logstash/netflow-9-cisco-asa-2",                        # no end but the time of the event, 323
}


def without_icmp6_ports(key):
    """nfdump shows 0; the records have type and code there."""
    return key[:2] + (0, 0) + key[4:] if key[4] == PROTOCOLS["ICMP6"] else key


@pytest.mark.parametrize("name,files,answer", all_sets(),
                         ids=[name for name, _, _ in all_sets()])
def test_prints_the_flows_of_nfdump(name, files, answer, runner, free_port):
    flows = collect(runner, free_port, [file.read_bytes() for file in files])
    wanted = sorted((without_icmp6_ports(key_of_row(row)), times_of_row(row))
                    for row in expected_flows(answer))
    got = sorted((without_icmp6_ports(key_of_flow(flow)), times_of_flow(flow)) for flow in flows)
    assert Counter(key for key, _ in got) == Counter(key for key, _ in wanted)
    if name in TIMES_NOT_READ_BY_NFDUMP:
        return
    differing = [(w, g) for w, g in zip(wanted, got)
                 if any(abs(a - b) > 1 for a, b in zip(w[1], g[1]))]
    assert not differing, differing[:3]


def test_reads_times_that_nfdump_does_not(runner, free_port):
    _, files, _ = next(s for s in logstash_sets() if s[0] == "logstash/netflow-9-ie150-ie151")
    flows = collect(runner, free_port, [file.read_bytes() for file in files])
    assert sorted(map(times_of_flow, flows)) == [(1512147866, 1512147866), (1512147869, 1512147869)]


def test_reads_both_directions_of_an_asa_record(runner, free_port):
    _, files, _ = next(s for s in logstash_sets() if s[0] == "logstash/netflow-9-cisco-asa-2")
    flows = collect(runner, free_port, [file.read_bytes() for file in files])
    last = flows[-1]
    assert (last["bytes"], last["reverse_bytes"], last["firewall_event"]) == (69, 14178, 2)
    assert last["time_flow_end_ns"] == 1469109036495 * 10**6


def split_messages(data):
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 2:at + 4], "big")
        yield data[at:at + length]
        at += length


def test_backbone_records_are_those_of_nfdump(runner, free_port):
    folder = CORPUS / "flow-ipfixcol2"
    payloads = list(split_messages((folder / "example_flows.ipfix").read_bytes()))
    flows = collect(runner, free_port, payloads)
    rows = expected_flows(folder / "nfdump-1.7.1" / "example_flows.csv")
    assert Counter(map(without_icmp6_ports, map(key_of_flow, flows))) == \
        Counter(map(without_icmp6_ports, map(key_of_row, rows)))
