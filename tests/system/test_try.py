# SPDX-License-Identifier: Apache-2.0
"""The first command: deploy/try, as a newcomer runs it, on the programs of the build."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRY = ROOT / "deploy" / "try"


class Try:
    """The command, with a folder for its sandbox that is empty before and must be empty after."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.environment = {**os.environ, "TMPDIR": str(folder)}

    def run(self, *arguments):
        return subprocess.run([TRY, *map(str, arguments)], capture_output=True, text=True,
                              timeout=180, check=False, env=self.environment)

    def start(self, *arguments):
        return subprocess.Popen([TRY, *map(str, arguments)], stdout=subprocess.PIPE, text=True,
                                env=self.environment)

    def left_over(self):
        return list(self.folder.iterdir())


@pytest.fixture
def build(programs):
    return programs("postern").parents[1]


@pytest.fixture
def command(work_dir):
    return Try(work_dir / "s")


def check_last_screen(screen):
    acted_upon = screen.split("and nobody else")[1].split("The mail '")[0]
    addresses = re.findall(r"^  (BLOCKED|WARNED) +([0-9a-f.:]+)", acted_upon, re.MULTILINE)
    assert addresses == [("BLOCKED", "192.0.2.25"), ("BLOCKED", "192.0.2.58"),
                         ("WARNED", "192.0.2.77")]
    assert "deadline" in acted_upon
    assert "new destinations" in acted_upon or "sessions" in acted_upon
    for kind in ("blocked", "warning"):
        mail = screen.split(f"The mail '{kind}'\n")[1].split("\n\n")[0].splitlines()
        assert all(line.startswith("  |") for line in mail)
        assert any(line.startswith("  | Message-ID: <") for line in mail)
        assert any(line.startswith("  | Subject: [PST-") for line in mail)
        assert len(mail) > 20
    short = screen.split("In short\n")[1].split("\n\nLook further\n")[0]
    assert [line.split(maxsplit=1) for line in short.splitlines()[:2]] == [
        ["blocked", "192.0.2.25, 192.0.2.58"], ["warned", "192.0.2.77"]]
    assert "7 others" in short and "2 blocked" in short


@pytest.mark.parametrize("bus", ["embedded", "kafka"])
def test_once_shows_who_was_blocked_and_who_was_warned(command, build, bus):
    for _run in ("first", "second"):    # everything is fresh: the second run shows the same
        done = command.run("--once", "--build", build, *(["--kafka"] if bus == "kafka" else []))
        assert done.returncode == 0, done.stdout + done.stderr
        check_last_screen(done.stdout)
    assert not command.left_over()


def commands_to_look_further(screen):
    """{what: command} of the last screen's lines that are commands."""
    pairs = re.findall(r"^  (\S.{17}) {2}(\S.*)$", screen.split("Look further")[1], re.MULTILINE)
    return {what.strip(): command for what, command in pairs if " --database " in command}


def test_runs_until_it_is_told_to_end_and_what_it_tells_to_type_works(command, build):
    screen = ""
    with command.start("--build", build) as process:
        try:
            for line in process.stdout:
                screen += line
                if "Running until Ctrl-C" in line:
                    break
            check_last_screen(screen)
            lines = commands_to_look_further(screen)
            assert set(lines) == {"one address", "open it again", "how it all is"}
            for what, line in lines.items():
                done = subprocess.run(line, shell=True, capture_output=True, text=True,
                                      timeout=30, check=False)
                assert done.returncode == 0, f"{what}: {line}\n{done.stdout}{done.stderr}"
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.terminate()
    assert not command.left_over()


def test_says_what_is_missing(command, build, work_dir):
    """A build without the scorer: named, status 1, nothing left behind."""
    broken = work_dir / "build"
    (broken / "bin").mkdir(parents=True)
    for program in (build / "bin").iterdir():
        if program.name != "postern-scorer":
            os.symlink(program, broken / "bin" / program.name)
    done = command.run("--once", "--build", broken)
    assert done.returncode == 1
    assert "scorer" in done.stderr
    assert not command.left_over()


def test_help_teaches(command):
    done = command.run("--help")
    assert done.returncode == 0
    for word in ("--once", "--kafka", "build/try", "Ctrl-C"):
        assert word in done.stdout


def test_an_unknown_option_is_a_usage_error(command):
    assert command.run("--twice").returncode == 2
    assert command.run("--build", "/nonexistent").returncode == 2
