# SPDX-License-Identifier: Apache-2.0
"""From the start of a scorer to being live: the real programs, a state of many units, a backlog.
Generated traffic."""

import os
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from meter import MeterError
from store import Database, running
from table import print_table, short

T0 = 1777638896
PARTITIONS = 8
PATIENCE_S = 900


def flows(units, first, count, step_s):
    """Lines of JSON: one session of one unit after the other."""
    for n in range(first, first + count):
        unit, at = n % units, (T0 + int(n * step_s)) * 10**9
        yield (f'{{"type":"IPFIX","sampling_rate":1,"src_addr":"10.{unit >> 16 & 255}.'
               f'{unit >> 8 & 255}.{unit & 255}","dst_addr":"203.0.{n % 7}.{n % 251 + 1}",'
               f'"bytes":5000,"packets":14,"sampler_address":"198.51.100.1","proto":6,'
               f'"src_port":{1024 + n % 60000},"dst_port":25,"tcp_flags":27,'
               f'"time_received_ns":{at + 10**10},"time_flow_start_ns":{at},'
               f'"time_flow_end_ns":{at + 2 * 10**9},"direction":"out"}}\n')


class Scene:
    """A bus, a database and the scorer between them."""

    def __init__(self, tools, folder, db):
        self.tools = tools
        self.folder = folder
        self.db = db
        self.path = os.path.join(folder, "bus.db")
        self.process = None
        self.url = None

    def publish(self, lines, epoch):
        """Puts flows onto the bus."""
        with subprocess.Popen([self.tools.program("flowcat"), "publish", f"embedded:{self.path}",
                               str(PARTITIONS), "collector", str(epoch)], stdin=subprocess.PIPE,
                              text=True) as program:
            for line in lines:
                program.stdin.write(line)
            program.stdin.close()
            if program.wait() != 0:
                raise MeterError("flowcat failed")

    def start(self):
        """Starts a scorer."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        with open(os.path.join(self.folder, "scorer.log"), "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [self.tools.program("postern-scorer"), "--bus", f"embedded:{self.path}",
                 "--database", self.db.conninfo, "--state", self.folder,
                 "--metrics", f"127.0.0.1:{port}"], stderr=log)

    def stop(self, number):
        """Ends it."""
        self.process.send_signal(number)
        self.process.wait()

    def wait(self, question, what):
        """Seconds until the answer is yes."""
        began = time.monotonic()
        while not question():
            if self.process.poll() is not None or time.monotonic() - began > PATIENCE_S:
                raise MeterError(f"the scorer did not get so far: {what}")
            time.sleep(0.1)
        return time.monotonic() - began

    def is_ready(self):
        """What /readyz says: nothing is away, nothing is rebuilt."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def behind(self):
        """Messages that PostgreSQL does not know of."""
        with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as bus:
            ends = bus.execute('SELECT sum(e) FROM (SELECT max("offset") + 1 AS e FROM messages '
                               "WHERE topic = 'postern.smtp' GROUP BY partition)").fetchone()[0]
        return ends - int(self.db.psql("SELECT coalesce(sum(greatest(position, 0)), 0) FROM "
                                       "postern.bus_offset WHERE topic = 'postern.smtp'"))


def measure(scene, units, backlog, how):
    """Fills the scene, ends the scorer with the signal, and starts it again beside a backlog."""
    scene.publish(flows(units, 0, units, 1800 / units), 1)
    scene.start()
    first_s = scene.wait(lambda: scene.behind() == 0, "everything read")
    if how == signal.SIGKILL:    # snapshots of all, before what comes next
        scene.stop(signal.SIGTERM)
        scene.publish(flows(units, units, backlog, 1800 / units), 2)
        scene.start()
        scene.wait(lambda: scene.behind() == 0, "everything read again")
    scene.stop(how)
    scene.publish(flows(units, units + backlog, backlog, 1800 / units), 3)
    scene.start()
    ready_s = scene.wait(scene.is_ready, "ready")
    live_s = ready_s + scene.wait(lambda: scene.behind() == 0, "the backlog read")
    scene.stop(signal.SIGTERM)
    return first_s, ready_s, live_s


def run(tools, units, backlog):
    """Prints the table."""
    rows = []
    for how in (signal.SIGTERM, signal.SIGKILL):
        with tempfile.TemporaryDirectory(prefix="postern-bench.") as folder:
            os.chmod(folder, 0o755)
            with running(Database(os.path.join(folder, "pg"), tools)) as db:
                times = measure(Scene(tools, folder, db), units, backlog, how)
        rows.append([how.name, short(units), short(backlog), *(f"{s:.1f} s" for s in times)])
    print_table(["ended by", "units", "backlog", "without a state", "ready again", "live again"],
                rows)
