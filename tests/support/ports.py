# SPDX-License-Identifier: Apache-2.0
"""Free ports of 127.0.0.1, for TCP and UDP at once.

Taken from below the range that the kernel hands out for outgoing connections (32768 upwards): a
client that waits for its server to return must not take the server's port, or connect to itself.
Other parts keep out of each other's way: deploy/try takes from 18000 on, Kafka from 20000 on.
"""

import os
import random
import socket

FIRST, END = 12000, 18000

_given = set()


def _own_range():
    """Each of the processes that share the tests has a part of its own (pytest-xdist's names)."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % processes
    width = (END - FIRST) // processes
    return FIRST + number * width, FIRST + (number + 1) * width


def free_port(address="127.0.0.1"):
    """A port that nobody listens on now and that this process was not given before."""
    while True:
        port = random.randrange(*_own_range())
        if port not in _given and _is_free(address, port):
            _given.add(port)
            return port


def _is_free(address, port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True
