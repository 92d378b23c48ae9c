# SPDX-License-Identifier: Apache-2.0
"""One Linux network namespace, held by a file descriptor and by nothing else.

It has no name in /run/netns: when the lab ends, however it ends, the kernel closes the descriptor
and takes the namespace, its links and its routes away. There is nothing to clean up afterwards.
"""

import ctypes
import os

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(what, result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def die_with_parent(signal_number):
    """Ask the kernel to send this process a signal when its parent ends, even by kill -9."""
    _check("prctl", _libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0))


def become_root_of_own_world():
    """Without root: make a user namespace where we are root. Sockets made before stay outside."""
    uid, gid = os.getuid(), os.getgid()
    _check("unshare (user namespace)", _libc.unshare(CLONE_NEWUSER | CLONE_NEWNET))
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _open_current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """`with namespace:` moves this thread in and back out.

    What is made inside (sockets, child processes) stays inside for good.
    """

    def __init__(self, name):
        self.name = name
        self._outside = []
        home = _open_current()
        try:
            _check("unshare (network namespace)", _libc.unshare(CLONE_NEWNET))
            self.fd = _open_current()
            _check("setns", _libc.setns(home, CLONE_NEWNET))
        finally:
            os.close(home)

    def __enter__(self):
        self._outside.append(_open_current())
        _check("setns", _libc.setns(self.fd, CLONE_NEWNET))
        return self

    def __exit__(self, *_exception):
        outside = self._outside.pop()
        _check("setns", _libc.setns(outside, CLONE_NEWNET))
        os.close(outside)
