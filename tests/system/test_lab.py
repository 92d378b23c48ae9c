# SPDX-License-Identifier: Apache-2.0
"""The lab tells the truth: its exporters against its packets, its answers against both.

And the recording in deploy/demo is what its answer sheet says.
"""

import csv
import datetime
import email
import email.utils
import importlib.util
import ipaddress
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from waiting import until

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "tests" / "tools" / "lab"
DEMO = ROOT / "deploy" / "demo"
SMALL = LAB / "small.toml"

# The lab's own judge under a name of its own: the lab's folder is not on the path of the tests, it
# has modules named like those in tests/support.
_spec = importlib.util.spec_from_file_location("lab_judge", LAB / "judge.py")
judge = sys.modules["lab_judge"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(judge)


def lab(*arguments, **options):
    return subprocess.run([LAB / "lab", *map(str, arguments)], capture_output=True, text=True,
                          timeout=90, check=False, **options)


def moment(text):
    return datetime.datetime.fromisoformat(text).timestamp()


class Run:
    """A finished run of the lab, or the one that lies in deploy/demo."""

    def __init__(self, folder, recording="lab.pcap"):
        self.recording = folder / recording
        self.truth = json.loads((folder / "truth.json").read_text())
        self.complaint = email.message_from_bytes((folder / "complaint.eml").read_bytes())
        self.told = {exporter["name"]: judge.flows_of_exports(self.recording, exporter["address"])
                     for exporter in self.truth["exporters"]}

    def addresses_seen_by(self, exporter):
        return {host["address"] for host in self.truth["hosts"].values()
                if exporter in host["exporters"]}


@pytest.fixture(scope="module")
def small(session_dir):
    """One run of the small scenario, with the packets."""
    folder = session_dir / "lab"
    folder.mkdir()
    done = lab("--scenario", SMALL, "--record", folder / "lab.pcap", "--truth",
               folder / "truth.json", "--complaint", folder / "complaint.eml",
               "--packets", folder / "packets.pcap")
    assert done.returncode == 0, done.stderr
    run = Run(folder)
    run.packets = judge.flows_of_packets(folder / "packets.pcap")
    return run


@pytest.fixture(scope="module")
def demo():
    return Run(DEMO)


# --- the command ---------------------------------------------------------------------------

def test_help_teaches():
    done = lab("--help")
    assert done.returncode == 0
    for word in ("--record", "--export-to", "127.0.1.1", "examples", "Exit status"):
        assert word in done.stdout


def test_show_names_every_host_and_its_fate():
    done = lab("--show")
    assert done.returncode == 0
    for name, fate in (("bot25", "blocked"), ("botsub", "blocked"), ("complained", "warned"),
                       ("monitor", "quiet"), ("triple", "quiet")):
        assert any(name in line and fate in line for line in done.stdout.splitlines())


def test_without_a_task_is_a_usage_error():
    done = lab()
    assert done.returncode == 2
    assert "--record" in done.stderr


@pytest.mark.parametrize("old, new, complaint", [
    ('kind = "probe"', 'kind = "prode"', "host 'sender', traffic 2: no kind 'prode'"),
    ("sessions = 18", "sessions = 0", "host 'sender', traffic 1: sessions must be 1 to"),
    ("peers = 18", "peers = 19", "peers must be 1 to the number of sessions"),
    ("from_s = 0.5", "form_s = 0.5", "unknown key 'form_s'"),
    ('must = "warned"', 'must = "hanged"', "host 'sender': must is one of"),
    ('["edge9", "edge10"]', '["edge5"]', "cannot carry IPv6"),
    ('["edge9", "edge10"]', '["edge7"]', "no exporter 'edge7'"),
    ("[time]", "[time", "line 5"),
    ("limit_s = 60", "", "limit_s"),
])
def test_a_scenario_that_cannot_be_played_is_named(work_dir, old, new, complaint):
    broken = work_dir / "broken.toml"
    text = SMALL.read_text()
    assert old in text
    broken.write_text(text.replace(old, new, 1))
    done = lab("--scenario", broken, "--record", work_dir / "x.pcap")
    assert done.returncode == 2
    assert str(broken) in done.stderr and complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_exports_that_nobody_takes_are_a_failure(free_port):
    port = free_port()
    done = lab("--scenario", SMALL, "--export-to", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"found nobody at 127.0.0.1:{port}" in done.stderr


def processes_marked(mark):
    """Processes whose environment holds the mark, zombies not counted."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_it_is_ended(work_dir, how):
    mark = f"LAB_TEST={uuid.uuid4()}"
    name, value = mark.split("=")
    with subprocess.Popen([LAB / "lab", "--record", work_dir / "x.pcap"], text=True,
                          stderr=subprocess.PIPE, env={**os.environ, name: value,
                                                          "TMPDIR": str(work_dir)}) as process:
        try:
            until(lambda: len(processes_marked(mark)) > 12, "hosts and exporters run", 30)
            process.send_signal(how)
            _out, words = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == (1 if how != signal.SIGKILL else -signal.SIGKILL)
    assert "Traceback" not in words
    until(lambda: not processes_marked(mark), "every child is gone", 20)


# --- the exporters -------------------------------------------------------------------------

@pytest.mark.parametrize("exporter", ["edge5", "edge9", "edge10"])
def test_every_flow_is_told_as_it_crossed_the_link(small, exporter):
    mine = small.addresses_seen_by(exporter)
    crossed = {key: flow for key, flow in small.packets.items()
               if key[0] in mine or key[2] in mine}
    told = small.told[exporter]
    assert told.keys() == crossed.keys()
    for key, flow in crossed.items():
        assert (told[key].packets, told[key].octets, told[key].flags) == (
            flow.packets, flow.octets, flow.flags), key
        assert told[key].first_s == pytest.approx(flow.first_s, abs=0.01)
        assert told[key].last_s == pytest.approx(flow.last_s, abs=0.01)


def test_the_small_world_meets_every_outcome(small):
    assert small.truth["hosts"]["sender"]["mail_out"]["outcomes"] == {
        "accepted": 9, "greeted": 4, "greylisted": 2, "no answer": 1, "refused": 2,
        "rejected": 2, "unknown user": 2}


def templates_first(run):
    """Set ids of data, by (sender, version), that came before any set of templates."""
    known, early = set(), []
    for _moment, sender, payload in judge.exports(run.recording):
        version = int.from_bytes(payload[:2], "big")
        if version == 5:
            continue
        at = 20 if version == 9 else 16
        while at + 4 <= len(payload):
            number, size = (int.from_bytes(payload[at + i:at + i + 2], "big") for i in (0, 2))
            assert size >= 4
            if number < 256:
                known.add(sender)
            elif sender not in known:
                early.append((sender, number))
            at += size
    return early


# --- the answers, for a fresh run and for the one that is shipped ---------------------------

@pytest.fixture(params=["small", "demo"])
def run(request):
    return request.getfixturevalue(request.param)


def test_sessions_and_servers_are_those_of_the_answer_sheet(run):
    for name, host in run.truth["hosts"].items():
        for exporter in host["exporters"]:
            for group, side in (("mail_out", 0), ("mail_in", 2)):
                if group not in host:
                    continue
                seen = {key for key in run.told[exporter] if key[side] == host["address"]
                        and str(key[3]) in host[group]["ports"]}
                where = f"{name}, {group}, by {exporter}"
                assert len(seen) == host[group]["sessions"], where
                assert len({key[2] for key in seen}) == host[group]["servers"], where


def test_every_flow_lies_within_the_recorded_time(run):
    began, ended = moment(run.truth["began"]), moment(run.truth["ended"])
    for told in run.told.values():
        assert told
        for flow in told.values():
            assert began - 0.01 <= flow.first_s <= flow.last_s <= ended


def test_templates_come_before_their_data(run):
    assert not templates_first(run)


def test_the_complaint_is_about_a_message_that_was_sent(run):
    report = run.complaint
    assert report.get_content_type() == "multipart/report"
    _note, machine, original = report.get_payload()
    fields = machine.get_payload()[0] if machine.is_multipart() else machine
    fields = email.message_from_string(fields.as_string().lstrip())
    warned = [h for h in run.truth["hosts"].values() if h["must"] == "warned"]
    assert fields["Source-IP"] in [host["address"] for host in warned]
    assert fields["Feedback-Type"] == "abuse"
    arrived = email.utils.parsedate_to_datetime(fields["Arrival-Date"]).timestamp()
    assert moment(run.truth["began"]) - 1 <= arrived <= moment(run.truth["ended"])
    assert original.get_payload()[0]["Message-ID"].endswith(".customer.example>")
    assert "dkim=pass header.d=mailbox-provider.example" in report["Authentication-Results"]
    assert report["Authentication-Results"].startswith("postern.example;")


# --- what is shipped -----------------------------------------------------------------------

def test_the_demo_is_small_and_two_are_beyond_doubt(demo):
    assert demo.recording.stat().st_size < 1 << 20
    hosts = demo.truth["hosts"]
    assert sorted(n for n, h in hosts.items() if h["must"] == "blocked") == ["bot25", "botsub"]
    assert hosts["bot25"]["mail_out"]["servers"] >= 250
    assert hosts["botsub"]["mail_out"]["sessions"] >= 250
    assert hosts["botsub"]["mail_out"]["servers"] >= 200
    for name, host in hosts.items():
        if host["must"] != "blocked":
            assert host.get("mail_out", {"sessions": 0})["sessions"] < 50, name


def test_every_demo_host_lies_in_our_networks_and_has_a_customer(demo):
    lines = (DEMO / "networks.txt").read_text().splitlines()
    networks = [ipaddress.ip_network(line) for line in lines if not line.startswith("#")]
    rows = list(csv.DictReader((DEMO / "customers.csv").read_text().splitlines()))
    assert "de" in {row["locale"] for row in rows}
    for host in demo.truth["hosts"].values():
        address = ipaddress.ip_address(host["address"])
        assert any(address in net for net in networks if net.version == address.version)
        owners = [row for row in rows if address in ipaddress.ip_network(row["net"])]
        assert owners and all(row["contacts"] for row in owners)
