# SPDX-License-Identifier: Apache-2.0
"""Our flow codec against protoc, which knows nothing of us but common/flow.proto."""

import json
import re
import subprocess

from conftest import ROOT

MESSAGE = "flowpb.FlowMessage"


def protoc(mode, data):
    command = ["protoc", f"-I{ROOT}/common", f"--{mode}={MESSAGE}", f"{ROOT}/common/flow.proto"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def flowcat(programs, what, data=b""):
    return subprocess.run([programs("flowcat"), what], input=data, capture_output=True,
                          check=True).stdout


def messages(batch):
    """The messages of a delimited stream."""
    while batch:
        length = shift = used = 0
        while True:
            byte = batch[used]
            length |= (byte & 0x7F) << shift
            used, shift = used + 1, shift + 7
            if byte < 0x80:
                break
        assert len(batch) >= used + length
        yield batch[used:used + length]
        batch = batch[used + length:]


def fields(message):
    """What protoc reads in a message: name → text."""
    text = protoc("decode", message).decode()
    found = dict(re.findall(r"^(\w+): (.*)$", text, re.M))
    assert len(found) == len(text.splitlines()), f"a field that flow.proto does not name:\n{text}"
    return found


def test_protoc_writes_the_same_bytes(programs):
    for message in messages(flowcat(programs, "sample")):
        assert protoc("encode", protoc("decode", message)) == message


def test_protoc_reads_every_field(programs):
    small, full, beat = messages(flowcat(programs, "sample"))
    assert fields(small)["src_addr"] == r'"\300\000\002\001"'
    assert fields(small)["direction"] == "OUT"
    names = set(re.findall(r"^  \w+ (\w+) = \d+;", (ROOT / "common/flow.proto").read_text(), re.M))
    flow_names = {name for name in names if not name.startswith("heartbeat_")}
    assert set(fields(full)) == flow_names
    told = fields(beat)
    assert {name for name in told if name.startswith("heartbeat_")} == names - flow_names
    growth = ["received", "twice", "datagrams", "duplicates", "lost_datagrams", "reordered",
              "restarts", "sent", *(f"lost_{why}" for why in (
                  "network", "kernel", "malformed", "no_template", "not_admitted", "queue",
                  "spool", "bus", "down"))]
    assert [int(told[f"heartbeat_{name}"]) for name in growth] == list(range(100, 117))
    assert (told["heartbeat_ledger"], told["heartbeat_clock_offset_ms"]) == ("5", "-9")
    assert told["type"] == "HEARTBEAT"


def test_json_and_protobuf_tell_the_same(programs):
    batch = flowcat(programs, "sample")
    lines = [json.loads(line) for line in flowcat(programs, "decode", batch).splitlines()]
    for line, message in zip(lines[:2], messages(batch)):
        told = fields(message)
        for name, value in line.items():
            if isinstance(value, int) and value != 0:
                assert told[name] == str(value), name
            elif isinstance(value, int):
                assert name not in told, f"{name}: zero is left out"
    assert lines[2]["heartbeat"] == "198.51.100.254"


def test_json_is_read_back(programs):
    small = flowcat(programs, "decode", flowcat(programs, "sample")).splitlines()[0] + b"\n"
    again = flowcat(programs, "decode", flowcat(programs, "encode", small))
    assert again == small
