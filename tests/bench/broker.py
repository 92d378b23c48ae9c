# SPDX-License-Identifier: Apache-2.0
"""A Kafka broker for as long as it is measured."""

import contextlib
import os
import subprocess
import tempfile

from meter import Places

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = os.path.join(TESTS, "support", "kafka")


@contextlib.contextmanager
def kafka_broker(address="", places=None):
    """The address (HOST:PORT), or that of a broker which lives as long as this context."""
    if address:
        yield address
        return
    with tempfile.TemporaryDirectory(prefix="postern-bench.") as folder:
        argv = [os.path.join(SCRIPTS, "kafka-start"), folder]
        started = subprocess.run(Places.on(places.others, argv) if places else argv, check=True,
                                 stdout=subprocess.PIPE, text=True)
        try:
            yield started.stdout.strip()
        finally:
            subprocess.run([os.path.join(SCRIPTS, "kafka-stop"), "--kill", folder], check=True)


def make_topic(tools, address, name, partitions=8):
    """Makes the topic; the broker makes none by itself."""
    done = subprocess.run([tools.program("buscat"), f"kafka://{address}"], check=True, text=True,
                          input=f"topic {name} {partitions}\n", capture_output=True)
    if "error" in done.stdout:
        raise OSError(f"{name}: {done.stdout.strip()}")
