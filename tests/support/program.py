# SPDX-License-Identifier: Apache-2.0
"""Programs as processes: started, awaited, killed, and asked how they ended."""

import os
import signal
import subprocess
import urllib.error
import urllib.request

from ports import free_port
from waiting import until

# Statuses of a program that ended in order; sanitizers and crashes give others.
IN_ORDER = (0, -signal.SIGTERM, -signal.SIGINT)


class Program:
    """A running process; its two outputs are files that outlive it."""

    def __init__(self, arguments, folder, name, env=None, stdin=None):
        self.name = name
        self.stdout_path = folder / f"{name}.out"
        self.stderr_path = folder / f"{name}.err"
        self.pid_path = folder / f"{name}.pid"
        self._expected_death = False
        self.url = None    # where /metrics, /healthz and /readyz are, if started by start_ready
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                [str(argument) for argument in arguments], stdout=out, stderr=err,
                stdin=stdin or subprocess.DEVNULL, env={**os.environ, **(env or {})})
        self.pid_path.write_text(str(self.process.pid))

    @property
    def stdout(self):
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    @property
    def is_running(self):
        return self.process.poll() is None

    def wait_ready(self, url, timeout_s=30):
        """Waits until `url` (…/readyz) answers 200."""
        def answers():
            assert self.is_running, self.describe()
            try:
                with urllib.request.urlopen(url, timeout=5) as reply:
                    return reply.status == 200
            except urllib.error.HTTPError:
                return False
        try:
            until(answers, f"{self.name} ready at {url}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from error

    def metric(self, name):
        """The sum of a metric's series, by the program's own /metrics."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if line.startswith((name + " ", name + "{")))

    def metric_of(self, name, **labels):
        """The sum of those series of a metric that have all of these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if line.startswith(name + "{") and all(label in line for label in wanted))

    def wait(self, timeout_s=60):
        """Waits for the end and gives the status (negative: the signal)."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end\n{self.describe()}") from None

    def stop(self, timeout_s=30):
        """SIGTERM, as an operator would; gives the status."""
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self):
        """SIGKILL, as the world does; the runner does not count it as a crash."""
        self._expected_death = True
        self.process.kill()
        self.process.wait()

    def expect_failure(self):
        """The test itself looks at the status; the runner does not."""
        self._expected_death = True
        return self

    def describe(self):
        tail = "\n".join(self.stderr.splitlines()[-40:])
        state = "running" if self.is_running else f"ended with {self.process.returncode}"
        return f"{self.name} ({' '.join(map(str, self.process.args))}) {state}:\n{tail}"

    def clean_up(self):
        """Ends what still runs; gives a complaint when the program had crashed before."""
        crashed = (not self._expected_death and not self.is_running
                   and self.process.returncode not in IN_ORDER)
        complaint = self.describe() if crashed else None
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                complaint = f"does not end on SIGTERM: {self.describe()}"
                self.process.kill()
                self.process.wait()
        self.pid_path.unlink(missing_ok=True)
        return complaint


class Runner:
    """Starts programs of one test and cleans up after it."""

    def __init__(self, programs, folder):
        self._programs = programs
        self._folder = folder
        self._started = []

    def path(self, name):
        """Where the build has put a program; a path is taken as it is."""
        return self._programs(name) if "/" not in str(name) else name

    def start(self, name, *arguments, env=None, stdin=None):
        """Starts a program and returns at once."""
        label = f"{len(self._started)}-{os.path.basename(str(name))}"
        program = Program([self.path(name), *arguments], self._folder, label, env, stdin)
        self._started.append(program)
        return program

    def start_ready(self, name, *arguments, env=None, stdin=None):
        """Starts one of our programs with --metrics at a free port and waits for its /readyz."""
        port = free_port()
        program = self.start(name, *arguments, "--metrics", f"127.0.0.1:{port}", env=env,
                             stdin=stdin)
        program.url = f"http://127.0.0.1:{port}"
        program.wait_ready(f"{program.url}/readyz")
        return program

    def run(self, name, *arguments, stdin=None, status=0, timeout_s=60, env=None):
        """Runs a program to its end, expects `status` and gives the finished process."""
        done = subprocess.run([str(self.path(name)), *map(str, arguments)], input=stdin,
                              capture_output=True, text=True, timeout=timeout_s, check=False,
                              env={**os.environ, **(env or {})})
        assert done.returncode == status, (
            f"{name} {' '.join(map(str, arguments))} ended with {done.returncode}, "
            f"not {status}:\n{done.stdout}\n{done.stderr}")
        return done

    def clean_up(self):
        complaints = [program.clean_up() for program in reversed(self._started)]
        complaints = [text for text in complaints if text]
        assert not complaints, "\n\n".join(complaints)
