# SPDX-License-Identifier: Apache-2.0
"""Files as input: IPFIX files and captures, whole and broken, from a disk and from a pipe."""

import os
import pty
import re
import socket
import struct
import subprocess

from exports import FIELDS, template
from exports import EXPORT_S, LAB, TEMPLATE, data, flows_of, ipfix, record
from waiting import until

READ = ("--publish", "all", "--output", "json:-")


def read(runner, *paths, status=0, stdin=None):
    arguments = [argument for path in paths for argument in ("--read", path)]
    return runner.run("postern-collector", *arguments, *READ, status=status, stdin=stdin)


def test_a_file_is_one_session_however_long_it_lasts(runner, work_dir):
    """One template at its start; data hours later, and of two domains in turn."""
    path = work_dir / "long.ipfix"
    path.write_bytes(b"".join(
        [ipfix(TEMPLATE), ipfix(TEMPLATE, domain=1)]
        + [ipfix(data(record(at_s=EXPORT_S + hour * 3600)), domain=hour % 2, sequence=hour // 2,
                 export_s=EXPORT_S + hour * 3600) for hour in range(48)]))
    assert len(flows_of(read(runner, path).stdout)) == 48


def test_files_do_not_share_templates(runner, work_dir):
    first, second = work_dir / "first.ipfix", work_dir / "second.ipfix"
    first.write_bytes(ipfix(TEMPLATE, data(record())))
    second.write_bytes(ipfix(data(record())))
    done = read(runner, first, second)
    assert len(flows_of(done.stdout)) == 1
    assert f"{first}: read: 1 messages" in done.stderr and "1 records" in done.stderr
    assert f"{second}: read: 1 messages" in done.stderr and "1 items not used" in done.stderr


def test_a_file_whose_last_message_is_cut_gives_the_others(runner, work_dir):
    path = work_dir / "cut.ipfix"
    whole = ipfix(TEMPLATE, data(record(), record())) + ipfix(data(record()), sequence=2)
    for cut in (1, 15, 16, 17, 40):
        path.write_bytes(whole + ipfix(data(record()), sequence=3)[:cut])
        done = read(runner, path, status=1)
        assert len(flows_of(done.stdout)) == 3
        assert "broken off: 2 messages" in done.stderr and "breaks off" in done.stderr


def capture_of(*payloads):
    """A capture (raw IP) of UDP datagrams to port 4739."""
    out = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101)
    for payload in payloads:
        udp = struct.pack("!HHHH", 4739, 4739, 8 + len(payload), 0) + payload
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
                         bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])) + udp
        out += struct.pack("<IIII", EXPORT_S, 0, len(ip), len(ip)) + ip
    return out


def test_several_messages_in_one_payload(runner, work_dir):
    path = work_dir / "glued.pcap"
    glued = ipfix(TEMPLATE) + ipfix(data(record())) + ipfix(data(record(), record()), sequence=1)
    path.write_bytes(capture_of(glued, b"something else" * 9))
    done = read(runner, path)
    assert len(flows_of(done.stdout)) == 3
    assert "3 records, 3 flows written, 1 items not used" in done.stderr


def test_a_customer_behind_a_nat_is_known_by_our_address(runner, work_dir):
    """An inner address of ours nowhere; the outer one is; and a NAT of somebody else."""
    def through(outer):
        return record(source="10.0.0.5") + socket.inet_aton(outer) + struct.pack("!H", 1024)
    path = work_dir / "nat.pcap"
    path.write_bytes(capture_of(ipfix(template(256, *FIELDS, (225, 4), (227, 2)),
                                      data(through("198.18.0.7"), through("192.0.2.9")))))
    done = runner.run("postern-collector", "--read", path, "--publish", "smtp", "--networks",
                      "198.18.0.0/15", "--output", "json:-")
    flow, = flows_of(done.stdout)
    assert (flow["src_addr"], flow["src_port"], flow["direction"]) == ("198.18.0.7", 1024, "out")
    assert (flow["nat_src_addr"], flow["nat_src_port"]) == ("10.0.0.5", 40000)
    as_sent, other = flows_of(read(runner, path).stdout)
    assert (as_sent["src_addr"], as_sent["nat_src_addr"]) == ("10.0.0.5", "198.18.0.7")
    assert other["nat_src_addr"] == "192.0.2.9"


def fragments_of(payload, size, version):
    """A UDP datagram to port 4739 as pieces of so many bytes: a capture's packets of raw IP."""
    udp = struct.pack("!HHHH", 4739, 4739, 8 + len(payload), 0) + payload
    for at in range(0, len(udp), size):
        piece, more = udp[at:at + size], at + size < len(udp)
        if version == 4:
            yield struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(piece), 7, at // 8 | more << 13,
                              64, 17, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])) + piece
        else:
            yield (struct.pack("!IHBB", 6 << 28, 8 + len(piece), 44, 64)
                   + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
                   + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
                   + struct.pack("!BBHI", 17, 0, at | more, 7) + piece)


def test_a_capture_of_packets_is_read_as_packets_or_as_exports_and_says_so(runner, work_dir):
    def session(port):
        return b"".join(
            struct.pack("<IIII", EXPORT_S, 0, 40, 40)
            + struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0,
                          bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
            + struct.pack("!HHIIBBHHH", port, 25, 1, 1, 0x50, flags, 0, 0, 0)
            for flags in (2, 0x18, 0x11))
    packets, mixed = work_dir / "packets.pcap", work_dir / "mixed.pcap"
    packets.write_bytes(capture_of() + session(40000) + session(40001))
    mixed.write_bytes(packets.read_bytes() + capture_of(ipfix(TEMPLATE, data(record())))[24:])
    for path, arguments, flows, words in (
            (packets, (), 0, "holds no flow exports: if these are packets of the traffic itself, "
                             "--packets yes makes flows of them"),
            (packets, ("--packets", "yes"), 2, "240 bytes, made into 2 flows, 2 written"),
            (packets, ("--packets", "auto"), 2, "as packets of the traffic itself, not as flow"),
            (mixed, (), 1, "6 items not used"),
            (mixed, ("--packets", "auto"), 1, "as flow exports, not as packets of the traffic"),
            (mixed, ("--packets", "yes"), 3, "1 flow exports among the packets, not read")):
        done = runner.run("postern-collector", *arguments, "--read", path, *READ)
        assert len(flows_of(done.stdout)) == flows and words in done.stderr, done.stderr
    done = runner.run("postern-collector", "--packets", "yes", "--packets-sampled", "100", packets,
                      *READ)
    flow, other = flows_of(done.stdout)
    assert (flow["packets"], flow["tcp_flags"], flow["sampling_rate"]) == (3, 0x1b, 100)
    assert (flow["src_port"], other["src_port"], flow["dst_port"]) == (40000, 40001, 25)


def test_a_datagram_in_fragments_is_put_together(runner, work_dir):
    whole = ipfix(TEMPLATE, data(*[record()] * 120))
    for version in (4, 6):
        packets = list(fragments_of(whole, 1448, version))
        assert len(packets) == 3
        for order, flows in ((packets, 120), (packets[::-1], 120), (packets[:2], 0)):
            path = work_dir / "fragments.pcap"
            path.write_bytes(capture_of() + b"".join(
                struct.pack("<IIII", EXPORT_S, 0, len(ip), len(ip)) + ip for ip in order))
            done = read(runner, path)
            assert len(flows_of(done.stdout)) == flows
            assert f"{0 if flows else 1} items not used" in done.stderr


def piped(programs, content, *arguments):
    return subprocess.run([programs(arguments[0]), *arguments[1:]], input=content,
                          capture_output=True, check=True, timeout=60)


def test_a_pipe_is_read_as_a_file_is(runner, programs, work_dir):
    path = work_dir / "two.ipfix"
    path.write_bytes(ipfix(TEMPLATE, data(record())) * 3)
    for source in (LAB, path):
        from_file = read(runner, source).stdout
        from_pipe = piped(programs, source.read_bytes(), "postern-collector", "--read", "-", *READ)
        assert from_pipe.stdout.decode() == from_file and from_file


def test_progress_is_for_terminals(programs, work_dir):
    """A pipe that gives a file slowly; the other end of stderr is a terminal, or is not."""
    message = ipfix(TEMPLATE, data(record()))
    controller, terminal = pty.openpty()
    with subprocess.Popen([programs("postern-collector"), "--read", "-", *READ],
                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=terminal) as process:
        os.set_blocking(controller, False)
        seen = bytearray()

        def look():
            process.stdin.write(message)
            process.stdin.flush()
            try:
                seen.extend(os.read(controller, 65536))
            except BlockingIOError:
                pass
            return re.search(rb"reading -: [1-9].*records \(", seen)
        until(look, "progress on the terminal", pause_s=0.02)
        process.stdin.close()
        assert process.wait(30) == 0
    os.close(controller)
    os.close(terminal)
    assert b"\x1b" not in piped(programs, message, "postern-collector", "--read", "-",
                                *READ).stderr


def test_replay_stopped_early_says_so(runner, work_dir, free_port):
    path = work_dir / "slow.ipfix"
    path.write_bytes(ipfix(TEMPLATE, data(record())) + ipfix(TEMPLATE, export_s=EXPORT_S + 3600))
    program = runner.start("postern-replay", path, "--to", f"127.0.0.1:{free_port()}")
    program.expect_failure()
    until(lambda: program.is_running and os.path.exists(f"/proc/{program.process.pid}/fd"), "runs")
    until(lambda: has_udp_socket(program), "the first datagram is sent")
    program.process.send_signal(1)  # nothing to reread: it goes on
    assert program.stop() == 1
    assert "then stopped" in program.stdout and "sent 1 datagrams" in program.stdout


def has_udp_socket(program):
    folder = f"/proc/{program.process.pid}/fd"
    return any(os.readlink(f"{folder}/{name}").startswith("socket:") for name in os.listdir(folder))
