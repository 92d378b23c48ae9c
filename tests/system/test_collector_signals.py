# SPDX-License-Identifier: Apache-2.0
"""SIGHUP, SIGTERM and SIGINT of the programs that receive and replay, in every state."""

import signal
import socket
import threading
import time

import pytest

from exports import LAB, TEMPLATE, data, flows_of, ipfix, record
from waiting import until

LOST = "postern_collector_exporter_lost_records_total"


class Stream(threading.Thread):
    """An exporter that sends without a pause, each datagram with its sequence number."""

    def __init__(self, port, address="127.0.0.1"):
        super().__init__(daemon=True)
        self.to = ("127.0.0.1", port)
        self.address = address
        self.sent = 0
        self._stop_asked = threading.Event()

    def run(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
            exporter.bind((self.address, 0))
            exporter.sendto(ipfix(TEMPLATE), self.to)
            while not self._stop_asked.is_set():
                exporter.sendto(ipfix(data(record(), record()), sequence=2 * self.sent), self.to)
                self.sent += 1
                if self.sent % 20 == 0:  # the receiver shares two processors with the whole suite
                    time.sleep(0.002)

    def stop(self):
        self._stop_asked.set()
        self.join(30)
        return self.sent


@pytest.fixture
def streams(port):
    begun = []

    def start(number):
        for n in range(number):
            begun.append(Stream(port, f"127.0.4.{n + 1}"))
            begun[-1].start()
        return begun
    yield start
    for stream in begun:
        stream.stop()


def test_reloads_lose_no_datagram(runner, port, streams, work_dir, bus_path):
    """Thirty reloads, of large lists, half of them refused, under three exporters' fire."""
    networks = work_dir / "networks"
    good = "".join(f"198.18.{n // 256}.{n % 256}\n" for n in range(20000))
    networks.write_text(good)
    program = runner.start_ready(
        "postern-collector", "--listen", f"udp://127.0.0.1:{port}", "--workers", 2, "--networks",
        networks, "--exporters", "127.0.4.0/24", "--output", f"embedded:{bus_path}")
    running = streams(3)
    for number in range(30):
        networks.write_text(good if number % 2 else good + "nonsense\n")
        said = "reread" if number % 2 else "the old rules stay"
        program.process.send_signal(signal.SIGHUP)
        until(lambda: program.stderr.count(said) == number // 2 + 1, said)
    sent = sum(stream.stop() for stream in running)
    assert sent > 100
    until(lambda: program.metric("postern_collector_datagrams_total") == sent + 3, "all taken")
    assert program.metric("postern_collector_records_total") == 2 * sent
    assert program.metric("postern_collector_kernel_dropped_datagrams_total") == 0
    assert program.metric("postern_collector_dropped_total") == 0
    assert program.metric(LOST) == 0
    assert program.metric("postern_collector_exporter_restarts_total") == 0
    assert program.stop() == 0


def test_a_reload_says_what_needs_a_restart(runner, port, work_dir):
    configuration = work_dir / "postern.conf"
    text = ("[collector]\npublish = all\noutput = json:-\nworkers = {workers}\n"
            f"listen = udp://127.0.0.1:{port}\nsampling = {{sampling}}\n")
    configuration.write_text(text.format(workers=1, sampling="192.0.2.1=10"))
    shown = runner.run("postern-collector", "--config", configuration, "--show-config").stdout
    for key, words in (("sampling", "a reload changes it"), ("exporters", "a reload changes it"),
                       ("workers", "a change needs a restart"),
                       ("listen", "a change needs a restart")):
        about = shown[:shown.index(f"\n{key} = ")].rsplit("\n\n", 1)[1]
        assert words in about, about
    program = runner.start_ready("postern-collector", "--config", configuration)
    configuration.write_text(text.format(workers=1, sampling="192.0.2.1=20"))
    program.process.send_signal(signal.SIGHUP)
    until(lambda: "sampling reread" in program.stderr, "reloaded")
    assert "needs a restart" not in program.stderr
    configuration.write_text(text.format(workers=2, sampling="192.0.2.1=20").replace(
        f":{port}", f":{port + 1}"))
    program.process.send_signal(signal.SIGHUP)
    until(lambda: "needs a restart: listen, workers" in program.stderr, "what needs a restart")
    assert program.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_delivers_what_has_arrived(runner, port, number):
    program = runner.start_ready("postern-collector", "--listen", f"udp://127.0.0.1:{port}",
                                 "--publish", "all", "--output", "json:-")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
        exporter.sendto(ipfix(TEMPLATE), ("127.0.0.1", port))
        until(lambda: program.metric("postern_collector_datagrams_total") == 1, "the template")
        program.process.send_signal(signal.SIGSTOP)
        for sequence in range(2000):
            exporter.sendto(ipfix(data(record()), sequence=sequence), ("127.0.0.1", port))
        program.process.send_signal(number)
        program.process.send_signal(signal.SIGCONT)
        assert program.wait() == 0
    assert len(flows_of(program.stdout)) == 2000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_comes_under_fire(runner, port, streams, number, bus_path):
    program = runner.start_ready("postern-collector", "--listen", f"udp://127.0.0.1:{port}",
                                 "--workers", 2, "--publish", "all", "--output",
                                 f"embedded:{bus_path}")
    streams(2)
    until(lambda: program.metric("postern_collector_datagrams_total") > 10, "the first datagrams")
    program.process.send_signal(number)
    assert program.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_capture_is_left_in_the_middle(runner, work_dir, number):
    path = work_dir / "endless"
    large = work_dir / "large.ipfix"
    message = ipfix(TEMPLATE, *[data(*[record()] * 30)] * 40)
    with open(large, "wb") as out:
        for _ in range(3000):
            out.write(message)
    program = runner.start("postern-collector", "--read", large, "--publish", "all", "--output",
                           f"json:{path}")
    until(lambda: path.exists() and path.stat().st_size > 0, "the first flows")
    program.process.send_signal(signal.SIGHUP)
    program.process.send_signal(number)
    assert program.wait() == 0
    assert "stopped: " in program.stderr
    assert path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(runner, port, number):
    """The broker is away, so the first one waits for ten seconds."""
    program = runner.start("postern-collector", "--listen", f"udp://127.0.0.1:{port}", "--networks",
                           "198.18.0.0/15", "--output", "kafka://127.0.0.1:9", "--metrics",
                           f"127.0.0.1:{port}")
    program.url = f"http://127.0.0.1:{port}"
    program.expect_failure()
    until(lambda: f"udp://127.0.0.1:{port}: listening" in program.stderr, "listening")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
        exporter.sendto(ipfix(TEMPLATE, data(record())), ("127.0.0.1", port))
    until(lambda: program.metric("postern_collector_datagrams_total") == 1, "taken")

    def impatient():
        program.process.send_signal(number)
        return not program.is_running
    until(impatient, "the end")
    assert program.wait() == -number, "it did not wait for the broker"


@pytest.mark.parametrize("number,status", [(signal.SIGTERM, 1), (signal.SIGINT, 1)])
def test_replay_is_left_in_the_middle(runner, port, number, status):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", port))
        ear.settimeout(30)
        program = runner.start("postern-replay", LAB, "--to", f"127.0.0.1:{port}", "--speed", 0.1)
        program.expect_failure()
        assert ear.recv(65536)
        program.process.send_signal(signal.SIGHUP)
        assert ear.recv(65536), "it goes on"
        program.process.send_signal(number)
        assert program.wait() == status
    assert "then stopped" in program.stdout
