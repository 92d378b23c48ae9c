# SPDX-License-Identifier: Apache-2.0
"""postern-scorer --backtest over generated traffic whose truth is known: every format says
the same, a second configuration stands beside the first, the curve is drawn."""

import json
import struct
import xml.etree.ElementTree

import pytest

from conftest import ROOT

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


def test_captures_are_read_by_the_operators_command_and_named_by_the_scorer(runner, work_dir):
    lab, networks = DEMO / "lab.pcap", DEMO / "networks.txt"
    done = runner.run("postern", "backtest", "--networks", networks, "--format", "json", lab)
    *verdicts, _ = map(json.loads, done.stdout.splitlines())
    truth = json.loads((DEMO / "truth.json").read_text())["hosts"].values()
    assert units(verdicts, "flag") == sorted(one["unit"] for one in truth
                                             if one["must"] == "blocked")
    assert "postern backtest" in runner.run("postern-scorer", "--backtest", lab, status=1).stderr
    # A capture of traffic instead of exports: one empty frame.
    traffic = work_dir / "traffic.pcap"
    traffic.write_bytes(struct.pack("<IHHiIIIIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1,
                                    1313658000, 0, 60, 60) + bytes(60))
    said = runner.run("postern", "backtest", "--networks", networks, traffic, status=1).stderr
    assert "holds no flow exports" in said and "softflowd" in said
    assert "no flow in the input" in said


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
    assert "look at --networks" in said("10.0.0.0/8", flows(0))


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
