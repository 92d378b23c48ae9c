# SPDX-License-Identifier: Apache-2.0
"""Other tools' records of flows, by deploy/flows2json into what a backtest reads."""

import gzip
import json
import os
import re
import subprocess

import pytest

from conftest import ROOT
from waiting import until

FLOWS2JSON = ROOT / "deploy" / "flows2json"
DEMO = ROOT / "deploy" / "demo"
TIMES = ("time_flow_start_ns", "time_flow_end_ns")


def convert(*arguments, stdin=None, status=0):
    done = subprocess.run([FLOWS2JSON, *map(str, arguments)], capture_output=True, text=True,
                          input=stdin, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def only(*arguments, **more):
    (flow,), _ = convert(*arguments, **more)
    return flow


def write(path, text):
    path.write_text(text)
    return path


def record(folder, runner, port, *arguments):
    """The lab's exports, in a file of nfcapd."""
    folder.mkdir()
    with subprocess.Popen(["nfcapd", "-b", "127.0.0.1", "-p", str(port), "-w", folder, "-t", "3600",
                           "-B", "8000000", *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as nfcapd:
        for line in nfcapd.stdout:
            if "Startup nfcapd" in line:
                break
        runner.run("postern-replay", DEMO / "lab.pcap", "--to", f"127.0.0.1:{port}", "--speed",
                   "120", "--map-senders")
        until(lambda: not waits(port), "nfcapd has read all")
        nfcapd.terminate()
        nfcapd.communicate(timeout=20)
    return folder


def waits(port):
    """Are there bytes in the queue of this UDP port?"""
    with open("/proc/net/udp", encoding="ascii") as table:
        queues = [row.split()[4] for row in table if f":{port:04X} " in row]
    return any(int(queue.partition(":")[2], 16) for queue in queues)


@pytest.mark.parametrize("rate", [1, 100])
def test_files_of_nfcapd_give_what_the_collector_gives(runner, work_dir, free_port, rate):
    """nfcapd multiplies by the sampling rate, as it is told or knows it; we do not."""
    folder = record(work_dir / "nfcapd", runner, free_port(), "-s", str(rate))
    ours = [json.loads(line) for line in runner.run(
        "postern-collector", "--read", DEMO / "lab.pcap", "--networks", DEMO / "networks.txt",
        "--output", "json:-").stdout.splitlines()]
    found, words = convert("nfcapd", folder)
    assert "not understood" not in words

    def told(flow):
        return (flow["src_addr"], flow["src_port"], flow["dst_addr"], flow["dst_port"],
                flow["packets"], flow["bytes"], flow["tcp_flags"],
                *(flow[key] // 1000000 for key in TIMES))
    assert sorted(map(told, found)) == sorted(map(told, ours)) and len(ours) > 1000
    assert {flow["sampling_rate"] for flow in found} == {rate}
    starts = [flow["time_flow_start_ns"] for flow in found]
    assert starts == sorted(starts)
    other, _ = convert("nfcapd", "--sampling", 7, folder)
    assert other == [dict(flow, sampling_rate=7) for flow in found]
    # the same from nfdump's own CSV, whose times are whole seconds
    text = subprocess.run(["nfdump", "-R", folder, "-o", "csv"], capture_output=True, text=True,
                          check=True, env={**os.environ, "TZ": "UTC"}).stdout
    again, _ = convert("nfdump", "--sampling", rate, "-", stdin=text)
    assert sorted(told(flow)[:7] for flow in again) == sorted(told(flow)[:7] for flow in ours)


ZEEK = ("#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\t"
        "service\tduration\torig_bytes\tresp_bytes\tconn_state\tmissed_bytes\thistory\torig_pkts\t"
        "orig_ip_bytes\tresp_pkts\tresp_ip_bytes\n#types\ttime\n")
ZEEK_ROW = ("1790000000.250000\tC1\t192.0.2.25\t40000\t198.51.100.1\t25\ttcp\tsmtp\t1.500000\t300\t"
            "200\tSF\t0\tShAdDaFf\t9\t700\t8\t600\n")


def test_connections_of_zeek(work_dir):
    log = work_dir / "conn.log.gz"
    log.write_bytes(gzip.compress((ZEEK + ZEEK_ROW + ZEEK_ROW.replace("\t25\t", "\t443\t")
                                   + "#close\t2026\n").encode()))
    flow = only("zeek", log)
    assert flow == {
        "time_flow_start_ns": 1790000000250000000, "time_flow_end_ns": 1790000001750000000,
        "time_received_ns": 1790000001750000000, "src_addr": "192.0.2.25", "src_port": 40000,
        "dst_addr": "198.51.100.1", "dst_port": 25, "proto": 6, "sampler_address": "0.0.0.0",
        "sampling_rate": 1, "packets": 9, "reverse_packets": 8, "bytes": 700, "reverse_bytes": 600,
        "tcp_flags": 0x1b, "reverse_tcp_flags": 0x1b}
    names, row = ZEEK.splitlines()[1].split("\t")[1:], ZEEK_ROW.rstrip().split("\t")
    assert only("zeek", "-", stdin=json.dumps(dict(zip(names, row)))) == flow
    assert len(convert("zeek", "--all", log)[0]) == 2
    refused = ZEEK + ZEEK_ROW.replace("\tShAdDaFf\t9\t700\t8\t600", "\tSr\t1\t60\t1\t40")
    flow = only("zeek", "-", stdin=refused)
    assert (flow["tcp_flags"], flow["reverse_tcp_flags"]) == (2, 4)
    unknown = ZEEK + ZEEK_ROW.replace("\t1.500000\t", "\t-\t")
    assert only("zeek", "-", stdin=unknown)["time_flow_end_ns"] == 1790000000250000000


def test_flows_of_argus_and_ctu_13():
    text = ("StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,"
            "SrcBytes,Label\n"
            "2011/08/10 09:46:53.047277,3.5,tcp,147.32.84.165,1040,   ->,74.125.1.1,25,FSPA_FSPA,0,"
            "0,24,2600,1500,flow=From-Botnet\n"
            "2011/08/10 09:46:59.607825,0.000000,tcp,147.32.84.165,1041,   ->,74.125.1.2,25,S_,0,,"
            "1,62,62,flow=From-Botnet\n"
            "2011/08/10 09:47:00.0,0,icmp,147.32.84.165,0x0303,   ->,74.125.1.2,0x25,URP,0,,1,62,"
            "62,flow\n")
    (spoken, refused), _ = convert("argus", "-", stdin=text)
    assert [spoken[key] for key in TIMES] == [1312969613047277000, 1312969616547277000]
    assert (spoken["bytes"], spoken["reverse_bytes"], spoken.get("packets")) == (1500, 1100, None)
    assert (spoken["tcp_flags"], spoken["reverse_tcp_flags"]) == (0x1b, 0x1b)
    assert (refused["packets"], refused["tcp_flags"], refused["reverse_tcp_flags"]) == (1, 2, 0)
    assert len(convert("argus", "--all", "-", stdin=text)[0]) == 3
    own = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,TotPkts,TotBytes,SrcBytes"
    ra = own.replace("Addr", "addr").replace("TotPkts", "pkts").lower().replace(
        "starttime", "stime").replace("srcaddr", "saddr").replace("dstaddr", "daddr").replace(
        "totbytes", "bytes").replace("srcbytes", "sbytes")
    row = "1312969613.047277,3.5,tcp,147.32.84.165,1040,->,74.125.1.1,25,FSPA_FSPA,24,2600,1500\n"
    assert convert("argus", "-", stdin=f"{ra}\n{row}")[0] == [spoken]


def test_flows_of_ugr16():
    flow = only("ugr16", "-", stdin="2016-07-27 13:43:30,48.380,42.219.153.62,187.96.221.207,2055,"
                                    "25,TCP,.AP.SF,0,0,12,900,background\n")
    assert flow["time_flow_end_ns"] == 1469627010000000000
    assert flow["time_flow_start_ns"] == 1469627010000000000 - 48380000000
    assert (flow["tcp_flags"], flow["packets"], flow["bytes"]) == (0x1b, 12, 900)


def test_files_of_several_routers_become_one_row_in_the_order_of_time(runner, work_dir):
    def router(number, step):
        return write(work_dir / f"router{number}.json", "".join(json.dumps({
            "src_addr": "192.0.2.10", "dst_addr": f"198.51.100.{i}", "src_port": 1025 + i,
            "dst_port": 25, "proto": "TCP", "packets": 14, "bytes": 1000, "sampling_rate": 1,
            "sampler_address": f"203.0.113.{number}",
            "time_flow_start_ns": (1313658000 + step * i) * 10 ** 9}) + "\n" for i in range(50)))
    routers = [router(number, step) for number, step in ((1, 60), (2, 60), (3, -60))]
    found, _ = convert("postern", *routers)
    starts = [flow["time_flow_start_ns"] for flow in found]
    assert len(found) == 150 and starts == sorted(starts)
    said = [runner.run("postern", "backtest", "--networks", "192.0.2.0/24", "-", stdin=text).stdout
            for text in ("".join(path.read_text() for path in routers),
                         "".join(json.dumps(flow) + "\n" for flow in found))]
    assert "out of order" in said[0] and "flows2json postern FILE" in said[0]
    assert "out of order" not in said[1] and "too late to be scored: 0" in said[1]


def test_numbers_and_times_may_be_texts():
    rows = [{"src_addr": "192.0.2.1", "dst_addr": "192.0.2.2", "dst_port": "25", "proto": "TCP",
             "time_flow_start_ns": time} for time in
            (1313658002 * 10 ** 9, str(1313658001 * 10 ** 9), "2011-08-18T09:00:00.5Z")]
    found, _ = convert("postern", "-", stdin="".join(json.dumps(row) + "\n" for row in rows))
    assert [flow["time_flow_start_ns"] for flow in found] == \
        [row["time_flow_start_ns"] for row in rows[::-1]]


def test_what_is_no_flow_is_counted_and_named(work_dir):
    good = ZEEK + ZEEK_ROW
    flows, words = convert("zeek", "-", stdin=good + ZEEK_ROW.replace("40000", "port") + ZEEK_ROW)
    assert len(flows) == 2 and "1 of 3 records were not understood, the first: -, record 2" in words
    assert "right KIND" in convert("argus", "-", stdin=good, status=1)[1]
    assert "right KIND" in convert("postern", "-", stdin="", status=1)[1]
    assert "No such file" in convert("zeek", work_dir / "none", status=1)[1]
    assert "invalid choice" in convert("netflow", "-", status=2)[1]
    cut = work_dir / "cut.gz"
    cut.write_bytes(gzip.compress(good.encode())[:-20])
    assert "gzip ended with 1" in convert("zeek", cut, status=1)[1]


def test_thinning_is_what_sampling_leaves(work_dir):
    log = write(work_dir / "conn.log", ZEEK + ZEEK_ROW * 3000)
    found, _ = convert("zeek", "--thin", 100, log)
    assert found == convert("zeek", "--thin", 100, log)[0]
    assert 180 < len(found) < 340, "1 - 0.99 ** 9 of 3,000 are 259"
    assert {(flow["sampling_rate"], flow["packets"], "tcp_flags" in flow) for flow in found} == \
        {(100, 1, False)}


def test_every_kind_has_its_line_in_the_manual():
    words = subprocess.run([FLOWS2JSON, "--help"], capture_output=True, text=True,
                           check=True).stdout
    page = (ROOT / "docs" / "operating.md").read_text()
    kinds = re.search(r"KIND +(\w+(?:, \w+)*)\n", words)[1].split(", ")
    assert len(kinds) == 6
    for kind in kinds:
        assert f"`flows2json {kind}" in page or f"flows2json {kind} " in page, kind
