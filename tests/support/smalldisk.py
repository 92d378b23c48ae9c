# SPDX-License-Identifier: Apache-2.0
"""A small file system that only the programs started with `enter` see.

It is mounted in a mount namespace of its own: root and ordinary users can have it alike, and it
goes when its holder goes, whatever happens to the test.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path


class SmallDisk:
    """While used as a context, `path` is a tmpfs of `size_bytes` for commands behind `enter`.

    enter           put this before a command: it runs where the disk is mounted
    path            the folder, as such a command sees it
    seen_from_here  the same folder, as the test sees it while the disk is there
    """

    def __init__(self, folder, size_bytes=8 << 20):
        self.path = Path(folder) / "small"
        self.path.mkdir()
        self.size_bytes = size_bytes
        self._holder = None

    def __enter__(self):
        root = os.geteuid() == 0
        script = f"mount -t tmpfs -o size={self.size_bytes} small '{self.path}' && echo up && cat"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", *([] if root else ["--map-root-user"]), "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout.readline() == b"up\n", "no mount namespace can be had"
        # --root: in a chroot the mount namespace's own root is another one than ours.
        target = [shutil.which("nsenter"), "--target", str(self._holder.pid), "--mount", "--root"]
        self.enter = target if root else [*target, "--user", "--preserve-credentials"]
        self.seen_from_here = Path(f"/proc/{self._holder.pid}/root{self.path}")
        return self

    @contextlib.contextmanager
    def filled(self):
        """While used as a context, there is no room left on it."""
        ballast = self.seen_from_here / "ballast"
        with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            ballast.unlink()

    def __exit__(self, *unused):
        self._holder.communicate()
