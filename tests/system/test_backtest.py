# SPDX-License-Identifier: Apache-2.0
"""postern-scorer --backtest over generated traffic whose truth is known: every format says
the same, a second configuration stands beside the first, the curve is drawn."""

import json
import os
import pty
import re
import struct
import subprocess
import xml.etree.ElementTree

import pytest

from conftest import ROOT
from exports import EXPORT_S, ipfix, set_of
from waiting import until

DEMO = ROOT / "deploy" / "demo"
BOTS = ("--class", "spam-5", "--class", "web-host", "--addresses", "2000", "--trials", "2")


def generated(runner, work_dir, *arguments, form="protobuf"):
    """A file of flows, and the truth about its addresses."""
    truth = work_dir / "truth.json"
    flows = work_dir / f"flows.{form}"
    runner.run("traffic", "--format", form, "--truth", truth, "--output", flows, *arguments)
    return flows, [json.loads(line) for line in truth.read_text().splitlines()]


def backtest(runner, *arguments):
    """Verdicts, differences and the summary."""
    done = runner.run("postern-scorer", "--backtest", "--format", "json", *arguments)
    *lines, last = map(json.loads, done.stdout.splitlines())
    return ([line for line in lines if "difference" not in line],
            [line["difference"] for line in lines if "difference" in line], last["summary"])


def units(verdicts, band):
    return sorted(one["unit"] for one in verdicts if one["band"] == band)


@pytest.mark.parametrize("rate", [1, 1000])
def test_generated_spam_is_found_and_nobody_else(runner, work_dir, rate):
    flows, truth = generated(runner, work_dir, *BOTS, "--rate", rate)
    bots = sorted(one["unit"] for one in truth if "spam" in one)
    assert len(bots) == 4 and len(truth) > 80
    verdicts, _, summary = backtest(runner, flows)
    assert units(verdicts, "flag") == bots
    assert units(verdicts, "block") == bots
    assert summary["refused"] == summary["late"] == 0


def test_json_and_protobuf_say_the_same(runner, work_dir):
    said = []
    for form in ("protobuf", "json"):
        flows, _ = generated(runner, work_dir, *BOTS, form=form)
        verdicts, _, summary = backtest(runner, flows)
        said.append(([(one["unit"], one["band"], one["time_ns"]) for one in verdicts],
                     summary["flows"], summary["sightings"]))
    assert said[0] == said[1]


def test_a_second_configuration_stands_beside_the_first(runner, work_dir):
    flows, truth = generated(runner, work_dir, *BOTS)
    bots = sorted(one["unit"] for one in truth if "spam" in one)
    other = work_dir / "deaf.conf"
    other.write_text("[scorer]\ngate_cold = 100000\n")
    verdicts, differences, summary = backtest(runner, "--compare", other, flows)
    assert units(verdicts, "flag") == bots
    assert sorted(one["unit"] for one in differences if one["band"] == "flag") == bots
    assert all(one["other"] is None for one in differences)
    assert summary["other"] == {"name": str(other), "watch": 4, "flag": 0, "block": 0, "same": 4,
                                "only_first": 8, "only_other": 0}
    back, differences, _ = backtest(runner, "--gate-cold", "100000", "--compare",
                                    write(work_dir / "keen.conf", "[scorer]\ngate_cold = 50\n"),
                                    flows)
    assert units(back, "flag") == []
    assert sorted(one["verdict"]["unit"] for one in differences if one["band"] == "block") == bots
    text = runner.run("postern-scorer", "--backtest", "--compare", other, flows).stdout
    assert text.count("\n- ") == 8 and "only without: 8" in text


def write(path, text):
    path.write_text(text)
    return path


def test_a_second_configuration_that_is_wrong_is_named(runner, work_dir):
    other = write(work_dir / "wrong.conf", "[scorer]\ngate_warm = 5\n")
    assert "gate_warm" in runner.run("postern-scorer", "--backtest", "--compare", other, "-",
                                     status=2, stdin="").stderr
    assert "belong to --backtest" in runner.run(
        "postern-scorer", "--bus", "embedded:/x", "--database", "dbname=x", "--svg", "x.svg",
        status=2).stderr


def test_captures_are_read_whatever_they_are_called_and_packed_by(runner, work_dir):
    lab, networks = DEMO / "lab.pcap", DEMO / "networks.txt"
    truth = json.loads((DEMO / "truth.json").read_text())["hosts"].values()
    bad = sorted(one["unit"] for one in truth if one["must"] == "blocked")
    renamed = write_bytes(work_dir / "monday", lab.read_bytes())
    for path, stdin in ((lab, None), (renamed, None), ("-", lab),
                        *((packed(work_dir, program, lab), None) for program in PACKERS),
                        ("-", packed(work_dir, "gzip", lab))):
        done = backtest_of(runner, path, networks, stdin)
        *verdicts, last = map(json.loads, done.stdout.splitlines())
        assert units(verdicts, "flag") == bad, path
        assert last["summary"]["flows"] == 2018
    # A capture of traffic instead of exports: one empty frame.
    traffic = work_dir / "traffic.pcap"
    traffic.write_bytes(struct.pack("<IHHiIIIIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1,
                                    1313658000, 0, 60, 60) + bytes(60))
    said = runner.run("postern", "backtest", "--networks", networks, traffic, status=1).stderr
    assert "holds no flow exports" in said and "--packets yes" in said
    assert "no flow in the input" in said


PACKERS = ("gzip", "zstd", "xz", "bzip2")


def packed(work_dir, program, path):
    out = work_dir / f"packed.{program}"
    with open(out, "wb") as file:
        subprocess.run([program, "-c", path], stdout=file, check=True)
    return out


def write_bytes(path, content):
    path.write_bytes(content)
    return path


def backtest_of(runner, path, networks, stdin, status=0):
    with open(stdin or "/dev/null", "rb") as source:
        done = subprocess.run([runner.path("postern"), "backtest", "--networks", networks,
                               "--format", "json", path], stdin=source, capture_output=True,
                              text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    return done


def test_a_file_that_breaks_off_is_judged_as_far_as_it_goes(runner, work_dir):
    lab = (DEMO / "lab.pcap").read_bytes()
    whole = packed(work_dir, "gzip", DEMO / "lab.pcap").read_bytes()
    for content, who in ((lab[:30000], "postern-collector"), (whole[:len(whole) // 2], "gzip")):
        path = write_bytes(work_dir / "cut", content)
        done = backtest_of(runner, path, DEMO / "networks.txt", None, status=1)
        assert json.loads(done.stdout.splitlines()[-1])["summary"]["flows"] > 100
        assert "could not be read to its end" in done.stderr and f"{who} said why" in done.stderr


def packet_capture(path, sessions, start_s=1790000000):
    """Raw IP: a customer opens a session to a stranger each time, and says something."""
    out = bytearray(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
    for i in range(sessions):
        for side, flags in ((0, 0x02), (1, 0x12), (0, 0x18), (1, 0x18), (0, 0x11), (1, 0x11)):
            ends = ((0xc6336419, 30000 + i), (0xcb007100 + i, 25))
            (source, port), (destination, other) = ends[side], ends[1 - side]
            packet = (struct.pack("!BBHHHBBHII", 0x45, 0, 40, 1, 0, 64, 6, 0, source, destination)
                      + struct.pack("!HHIIBBHHH", port, other, 1, 1, 0x50, flags, 0, 0, 0))
            out += struct.pack("<IIII", start_s + i // 5, i % 5 * 200000, 40, 40) + packet
    return write_bytes(path, bytes(out))


def test_a_spambots_own_packets_are_judged_whole_and_sampled(runner, work_dir):
    """150 sessions in 30 s as packets; the same as if the capture had taken 1 packet of 1,000."""
    capture = packet_capture(work_dir / "bot.pcap", 150)
    done = runner.run("postern-scorer", "--backtest", "--networks", "198.51.100.0/24", capture)
    assert "as packets of the traffic itself" in done.stderr
    assert "flows: 300, senders of mail: 1, new sessions: 150" in done.stdout
    assert "block  198.51.100.25" in done.stdout
    assert "reported by a recording (sampling 1:1)" in done.stdout
    verdicts, _, summary = backtest(runner, "--packets-sampled", "1000", "--networks",
                                    "198.51.100.0/24", capture)
    assert units(verdicts, "block") == ["198.51.100.25"]
    assert backtest(runner, "--packets", "no", "--networks", "198.51.100.0/24", capture,
                    DEMO / "lab.pcap")[2]["flows"] == 2018


def test_what_stands_in_the_wrong_order_is_told_with_what_to_do(runner, work_dir):
    later = packet_capture(work_dir / "tuesday.pcap", 60, 1790086400)
    sooner = packet_capture(work_dir / "monday.pcap", 60)
    arguments = ("--networks", "198.51.100.0/24")
    said = runner.run("postern-scorer", "--backtest", *arguments, later, sooner).stdout
    assert "out of order: 120 flows stand up to 1.0 days behind newer ones" in said
    assert f"first in {sooner}" in said and "order of their time" in said
    assert "out of order" not in runner.run("postern-scorer", "--backtest", *arguments, sooner,
                                            later).stdout
    _, _, summary = backtest(runner, *arguments, later, sooner)
    assert (summary["out_of_order"], summary["out_of_order_by_s"]) == (120, 86411)
    assert summary["late"] == 120


@pytest.mark.parametrize("told, flagged", [(2, ["198.51.100.25"]), (1, []), (3, [])])
def test_the_exporter_knows_who_began_between_two_mail_ports(runner, work_dir, told, flagged):
    """RFC 5103: the stranger's side of each session comes first in the record."""
    fields = b"".join(struct.pack("!HH", *field) for field in (
        (8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (152, 8), (153, 8), (2, 4), (239, 1)))
    body = set_of(2, struct.pack("!HH", 256, 11) + fields + struct.pack("!HHI", 0x8002, 4, 29305))
    body += set_of(256, b"".join(
        struct.pack("!IIHHBBQQIBI", 0xcb007100 + i, 0xc6336419, 25, 25, 6, 0x1b,
                    EXPORT_S * 1000 + i * 200, EXPORT_S * 1000 + i * 200 + 90, 9, told, 10)
        for i in range(150)))
    path = write_bytes(work_dir / "biflows.ipfix", ipfix(body, export_s=EXPORT_S + 60))
    verdicts, _, summary = backtest(runner, "--networks", "198.51.100.0/24", path)
    assert units(verdicts, "flag") == flagged and summary["flows"] == 150
    # The same where the collector did not know whose networks are whose.
    flows = runner.run("postern-collector", "--read", path, "--publish", "all", "--output",
                       "json:-").stdout
    done = runner.run("postern-scorer", "--backtest", "--networks", "198.51.100.0/24", "--format",
                      "json", "-", stdin=flows)
    *again, _ = map(json.loads, done.stdout.splitlines())
    assert units(again, "flag") == flagged


def test_a_result_that_would_be_read_wrongly_is_explained(runner):
    def flows(hour):
        return "".join(json.dumps({
            "src_addr": "192.0.2.10", "dst_addr": f"198.51.100.{i}", "src_port": 1025 + i,
            "dst_port": 25, "proto": 6, "packets": 14, "sampler_address": "203.0.113.1",
            "time_flow_start_ns": (1313658000 + 3600 * hour + i) * 10 ** 9}) + "\n"
            for i in range(40))

    def said(networks, text):
        return runner.run("postern-scorer", "--backtest", "--networks", networks, "-",
                          stdin=text).stderr
    assert "40 of 80 sightings came too late" in said("192.0.2.0/24", flows(2) + flows(0))
    assert "came too late" not in said("192.0.2.0/24", flows(0) + flows(2))
    assert "look at --networks; most mail sessions are opened by 192.0.2.10\n" in \
        said("10.0.0.0/8", flows(0))
    assert "--networks FILE|CIDR,...; most mail sessions are opened by 192.0.2.10\n" in runner.run(
        "postern-scorer", "--backtest", "-", stdin=flows(0), status=2).stderr
    assert "look at --networks, and whether there are TCP flows" in \
        said("10.0.0.0/8", flows(0).replace('"dst_port": 25', '"dst_port": 443'))
    torn = flows(0).replace('"proto": 6', '"proto": -6', 20)
    assert "cannot be read: 20, the first of them is line 1 of -" in said("192.0.2.0/24", torn)
    seconds = flows(0).replace("000000000}", "}")
    assert "flows without a time: 40" in said("192.0.2.0/24", seconds)
    assert "look at --networks" not in said("192.0.2.0/24", seconds)


def test_a_sampling_rate_that_no_flow_tells_can_be_said(runner, work_dir):
    flows, truth = generated(runner, work_dir, *BOTS, "--rate", "1000", form="json")
    told = json.loads(runner.run("postern-scorer", "--backtest", "--format", "json",
                                 flows).stdout.splitlines()[-1])["summary"]
    silent = [json.loads(line) for line in flows.read_text().splitlines()]
    for flow in silent:
        flow.pop("sampling_rate", None)
        flow.pop("rate_source", None)
    text = "".join(json.dumps(flow) + "\n" for flow in silent)
    done = runner.run("postern-scorer", "--backtest", "--format", "json", "-", stdin=text)
    assert "say --sampled N" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["flag"] < told["flag"]
    done = runner.run("postern-scorer", "--backtest", "--format", "json", "--sampled", "1000", "-",
                      stdin=text)
    assert json.loads(done.stdout.splitlines()[-1])["summary"] == told
    assert "--sampled" not in done.stderr


def test_progress_is_for_terminals(programs):
    """A pipe that does not end; the other end of stderr is a terminal."""
    line = json.dumps({"src_addr": "192.0.2.10", "dst_addr": "198.51.100.1", "src_port": 1025,
                       "dst_port": 25, "proto": 6, "time_flow_start_ns": 1313658000 * 10 ** 9})
    lines = (line + "\n").encode() * 8192
    controller, terminal = pty.openpty()
    with subprocess.Popen([programs("postern"), "backtest", "--networks", "192.0.2.0/24", "-"],
                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=terminal) as process:
        os.set_blocking(controller, False)
        seen = bytearray()

        def look():
            process.stdin.write(lines)
            try:
                seen.extend(os.read(controller, 65536))
            except BlockingIOError:
                pass
            return re.search(rb"backtest: [0-9,]+ flows, [0-9,]+ flows/s", seen)
        until(look, "progress on the terminal", pause_s=0.1)
        process.stdin.close()
        assert process.wait(30) == 0
    os.close(controller)
    os.close(terminal)


def test_the_curve_is_drawn(runner, work_dir):
    flows, _ = generated(runner, work_dir, *BOTS)
    curve = work_dir / "curve.svg"
    plain, _, _ = backtest(runner, flows)
    drawn, _, _ = backtest(runner, "--svg", curve, flows)
    assert plain == drawn
    root = xml.etree.ElementTree.parse(curve).getroot()
    assert root.tag.endswith("svg")
    points = next(one for one in root.iter() if one.get("class") == "curve" and one.get("points"))
    assert len(points.get("points").split()) == 100, "four bots reached every evidence"


def test_same_seed_same_bytes_and_another_seed_others(runner, work_dir):
    read = [generated(runner, work_dir, "--addresses", "2000", "--days", "2", "--rate", "100",
                      "--seed", seed)[0].read_bytes() for seed in (5, 5, 6)]
    assert read[0] == read[1] != read[2]
    assert len(read[0]) > 50000
