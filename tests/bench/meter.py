# SPDX-License-Identifier: Apache-2.0
"""A process under the meter: what it costs the CPU, how much memory it had, what its port lost."""

import os
import signal
import socket
import subprocess
import time

POLL_S = 0.1


class Places:
    """Which processors the measured program gets, and which all others (generator, broker): every
    program has the same ones. Where there is one processor only, they share it."""

    def __init__(self, pinned, workers=1):
        cpus = sorted(os.sched_getaffinity(0))
        pinned = pinned and len(cpus) > workers
        self.mine = cpus[-workers:] if pinned else cpus
        self.others = cpus[:-workers] if pinned else cpus

    @staticmethod
    def on(cpus, argv):
        """The command line that runs there."""
        return ["taskset", "-c", ",".join(map(str, cpus)), *argv]


class MeterError(Exception):
    """A measured program did not do what a measurement needs."""


def free_port():
    """A UDP port of the loopback interface that nobody uses at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def udp_sockets(port):
    """(bytes waiting, datagrams dropped) of each IPv4 and IPv6 socket bound to the port."""
    found = []
    for name in ("/proc/net/udp", "/proc/net/udp6"):
        with open(name, encoding="ascii") as table:
            for line in list(table)[1:]:
                field = line.split()
                if int(field[1].rsplit(":", 1)[1], 16) == port:
                    found.append((int(field[4].split(":")[1], 16), int(field[-1])))
    return found


def wait_until(what, condition, seconds):
    """Polls the condition; says what was waited for when the time is over."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise MeterError(f"waited {seconds} s for {what}")
        time.sleep(POLL_S)


class Metered:
    """A started program with all processes of its session."""

    def __init__(self, argv, log, env=None):
        self.argv = argv
        self.log = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env=env, start_new_session=True)

    def pids(self):
        """Live processes of the session that the program leads."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                    field = stat.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(field[3]) == self.process.pid and field[0] != "Z":
                found.append(int(name))
        return found

    def cpu_s(self):
        """User and system time of all threads so far, from the scheduler's nanoseconds."""
        total = 0
        for pid in self.pids():
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
                        total += int(stat.read().split()[0])
            except OSError:
                continue
        return total / 1e9

    def memory_bytes(self, name="VmHWM:"):
        """Sum of the processes' peak resident memory; "VmRSS:" for what they have now."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
                    total += sum(int(line.split()[1]) * 1024 for line in status
                                 if line.startswith(name))
            except OSError:
                continue
        return total

    def tail(self):
        """The last lines of what the program printed."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-8:]).strip()

    def check_alive(self):
        """An ended program measures nothing: says with which words it ended."""
        if self.process.poll() is not None:
            raise MeterError(f"{self.argv[0]} ended with {self.process.returncode}: {self.tail()}")

    def wait_for_port(self, port):
        """Until the program listens."""
        def listening():
            self.check_alive()
            return bool(udp_sockets(port))
        wait_until(f"{self.argv[0]} to listen", listening, 20)
        time.sleep(0.3)  # its other threads start up

    def wait_until_idle(self, port):
        """Until its socket is empty and it has nothing left to work on."""
        last = [self.cpu_s()]

        def idle():
            self.check_alive()
            time.sleep(0.4)
            now = self.cpu_s()
            busy = now - last[0]
            last[0] = now
            return busy < 0.02 and all(waiting == 0 for waiting, _ in udp_sockets(port))
        wait_until(f"{self.argv[0]} to finish its work", idle, 120)

    def stop(self, first=signal.SIGTERM):
        """Ends the program, and what it left behind, by process id."""
        left = self.pids()
        if self.process.poll() is None:
            self.process.send_signal(first)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in set(left) & set(self.pids()):
            os.kill(pid, signal.SIGKILL)
