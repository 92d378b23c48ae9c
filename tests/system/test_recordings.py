# SPDX-License-Identifier: Apache-2.0
"""Backtests over recorded traffic: real mail without a spammer stays quiet, the lab's two bad hosts
are found and nobody else, whole and thinned to 1:N."""

import gzip
import json
import random
import subprocess

import pytest

from conftest import ROOT
from waiting import until

CORPUS = ROOT.parent / "shared" / "corpus"
CONVERTER = ROOT / "deploy" / "flows2json"
RECORDINGS = [("zeek", "smtp-wrccdc-zeek/smtp.log.gz", "10.0.0.0/8"),
              ("ugr16", "smtp-ugr16-small/raw.csv", "0.0.0.0/0")]
DEMO = ROOT / "deploy" / "demo"


def backtest(runner, networks, flows):
    """The verdicts over flows, one JSON object a line, and the summary."""
    done = runner.run("postern-scorer", "--backtest", "--networks", networks, "--format", "json",
                      "-", stdin=flows)
    *verdicts, last = map(json.loads, done.stdout.splitlines())
    assert last["summary"]["flows"] == flows.count("\n")
    return verdicts


def units(verdicts, band):
    """The units that crossed a band."""
    return sorted(one["unit"] for one in verdicts if one["band"] == band)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")
@pytest.mark.parametrize("rate", [1, 100, 1000, 4096])
@pytest.mark.parametrize("kind, path, networks", RECORDINGS, ids=[r[0] for r in RECORDINGS])
def test_recorded_mail_flags_nobody(runner, kind, path, networks, rate):
    flows = subprocess.run(["/usr/bin/python3", CONVERTER, kind, CORPUS / path,
                            "--thin", str(rate)],
                           check=True, stdout=subprocess.PIPE, text=True).stdout
    verdicts = backtest(runner, networks, flows)
    assert units(verdicts, "flag") == []


@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")
def test_recorded_sessions_through_a_real_exporter_flag_nobody(runner, work_dir, free_port):
    """19 captures of packets; softflowd makes the flows, each capture in an export of its own.
    Our own meter makes the same of them."""
    port = free_port()
    collector = runner.start_ready("postern-collector", "--listen", f"tcp://127.0.0.1:{port}",
                                   "--publish", "all", "--output", "json:-")
    captures = [unpacked(capture, work_dir)
                for capture in sorted((CORPUS / "smtp-zeek-pcaps").glob("*.pcap*"))]
    assert len(captures) == 19
    for capture in captures:
        subprocess.run(["softflowd", "-r", capture, "-a", "-v", "10", "-n", f"127.0.0.1:{port}",
                        "-c", "none", "-d", "-P", "tcp"], capture_output=True, check=True,
                       timeout=60, stdin=subprocess.DEVNULL)
    until(lambda: collector.metric('postern_collector_tcp_closed_total{reason="peer"}') ==
          len(captures), "all exports have been read")
    assert collector.stop() == 0
    flows = "".join(line for line in collector.stdout.splitlines(keepends=True)
                    if line.startswith("{"))
    mail = [flow for flow in map(json.loads, flows.splitlines()) if flow["dst_port"] in (25, 587)]
    assert len(mail) >= 15, "they are sessions of mail"
    assert units(backtest(runner, "0.0.0.0/0,::/0", flows), "watch") == []
    metered = runner.run("postern-collector", "--packets", "yes", *captures, "--publish", "all",
                         "--output", "json:-").stdout
    theirs, ours = sums(flows), sums(metered)
    assert len(theirs) > 50 and ours.keys() == theirs.keys()
    assert {key: told[::2] for key, told in theirs.items()} == \
        {key: told[::2] for key, told in ours.items()}
    # softflowd counts what pads short frames of Ethernet, too: six bytes of a bare ACK.
    assert sorted(told[1] - ours[key][1] for key, told in theirs.items()
                  if told != ours[key]) == [6, 2 * 6, 14 * 6]


def unpacked(capture, work_dir):
    if capture.suffix != ".gz":
        return capture
    plain = work_dir / capture.stem
    plain.write_bytes(gzip.decompress(capture.read_bytes()))
    return plain


def sums(flows):
    """What all records of a conversation's direction say together."""
    found = {}
    for flow in map(json.loads, flows.splitlines()):
        one = found.setdefault(tuple(flow.get(key, 0) for key in (
            "proto", "src_addr", "src_port", "dst_addr", "dst_port")), [0, 0, 0])
        one[0] += flow["packets"]
        one[1] += flow["bytes"]
        one[2] |= flow.get("tcp_flags", 0)
    return found


def thinned(flows, rate, seed):
    """Each packet of each record is kept with probability 1/rate."""
    dice = random.Random(seed)
    for line in flows.splitlines():
        flow = json.loads(line)
        flow["packets"] = sum(dice.random() < 1 / rate for _ in range(flow["packets"]))
        flow["sampling_rate"] = rate
        if flow["packets"] > 0:
            yield json.dumps(flow) + "\n"


@pytest.mark.parametrize("rate", [1, 100])
def test_the_labs_bad_hosts_are_blocked_and_no_other(runner, rate):
    truth = json.loads((DEMO / "truth.json").read_text())
    bad = sorted(host["unit"] for host in truth["hosts"].values() if host["must"] == "blocked")
    flows = runner.run("postern-collector", "--read", DEMO / "lab.pcap", "--networks",
                       DEMO / "networks.txt", "--publish", "smtp", "--output", "json:-").stdout
    if rate > 1:
        flows = "".join(thinned(flows, rate, seed=1))
    verdicts = backtest(runner, DEMO / "networks.txt", flows)
    assert units(verdicts, "block") == bad
    assert units(verdicts, "flag") == bad
