# SPDX-License-Identifier: Apache-2.0
"""Free ports of 127.0.0.1, for TCP and UDP at once.

Taken from below the range that the kernel hands out for outgoing connections (32768 upwards): a
client that waits for its server to return must not take the server's port, or connect to itself.
"""

import random
import socket

_given = set()


def free_port(address="127.0.0.1"):
    """A port that nobody listens on now and that this process was not given before."""
    while True:
        port = random.randrange(12000, 20000)
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
