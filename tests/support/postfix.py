# SPDX-License-Identifier: Apache-2.0
"""A private Postfix on 127.0.0.1 that relays everything to another server of the test."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ports import free_port
from waiting import until

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = relay.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{next_hop}
recipient_delimiter = +
alias_maps =
alias_database =
smtp_tls_security_level = none
smtpd_tls_security_level = none
{more}
"""
SERVICES = Path("/usr/share/postfix/master.cf.dist")


def is_there():
    """It can be used: it is installed, and we are root, which its master process must be."""
    return shutil.which("postfix") is not None and SERVICES.is_file() and os.geteuid() == 0


class Postfix:
    """Runs while it is used as a context."""

    def __init__(self, next_hop, more=""):
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postfix-"))
        self.folder.chmod(0o755)
        for name in ("queue", "data", "etc"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        self._config = self.folder / "etc"
        (self._config / "main.cf").write_text(
            MAIN.format(folder=self.folder, next_hop=next_hop, more=more))
        (self._config / "master.cf").write_text(self._services())

    def _services(self):
        """Debian's own table without jails, on our port, with its log in a file."""
        lines = [line.split() for line in SERVICES.read_text().splitlines()
                 if line[:1] not in ("#", " ", "")]
        for line in lines:
            line[4] = "n"
            if line[0] == "smtp" and line[1] == "inet":
                line[0] = f"127.0.0.1:{self.port}"
        return "".join(" ".join(line) + "\n" for line in lines)

    @property
    def uri(self):
        return f"smtp://127.0.0.1:{self.port}"

    def _command(self, name):
        subprocess.run(["postfix", "-c", self._config, name], check=True, capture_output=True,
                       timeout=30)

    def log(self):
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def __enter__(self):
        self._command("start")
        until(lambda: "daemon started" in self.log(), "Postfix is up")
        return self

    def __exit__(self, *unused):
        self._command("stop")
        shutil.rmtree(self.folder, ignore_errors=True)
