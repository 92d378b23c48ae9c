# SPDX-License-Identifier: Apache-2.0
"""deploy/systemd: what an installation starts, with which configuration, as whom."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))


def unit(path):
    """A unit file as sections of keys; of a key that comes again the last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str
    parser.read(path)
    return parser


def users():
    """The users that sysusers makes, and the groups that each is a member of."""
    lines = [line.split() for line in (UNITS / "sysusers.conf").read_text().splitlines()]
    members = {line[1]: set() for line in lines if line[:1] == ["u"]}
    for line in lines:
        if line[:1] == ["m"]:
            members[line[1]].add(line[2])
    return members


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_a_service_starts_a_program_that_takes_its_arguments_and_the_example(runner, path):
    program, *arguments = shlex.split(unit(path)["Service"]["ExecStart"])
    assert arguments[:2] == ["--config", "/etc/postern/postern.conf"]
    shown = runner.run(program, "--config", str(UNITS / "postern.conf"), *arguments[2:],
                       "--show-config").stdout
    assert "database = host=/run/postgresql dbname=postern" in shown or \
        program in ("postern-collector", "postern-intake")
    assert "embedded:/var/lib/postern/bus/bus.db" in shown or \
        program in ("postern-dispatch", "postern-report")


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_a_service_runs_as_a_user_of_its_own_in_the_group_of_the_bus(path):
    assert users()[unit(path)["Service"]["User"]] == {"postern"}
    assert unit(UNITS / "postern-.service.d" / "10-common.conf")["Service"]["Group"] == "postern"


def test_whoever_logs_in_to_postgresql_is_called_like_its_role(desk, postgres):
    """So PostgreSQL's own way on the socket, "peer", needs neither password nor map."""
    without_role = {"postern_collector", "postern_intake"}
    with postgres.connect() as connection:
        roles = {row[0] for row in connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname LIKE 'postern%'")}
    assert set(users()) - without_role <= roles


def test_metrics_of_all_services_have_ports_of_their_own():
    texts = [unit(path)["Service"]["ExecStart"] for path in SERVICES]
    texts.append((UNITS / "postern.conf").read_text())
    ports = re.findall(r"127\.0\.0\.1:(91\d\d)", " ".join(texts))
    assert len(ports) == len(set(ports)) == 5
    scraped = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    assert [port for port in ports if f":{port}" not in scraped] == []


def test_systemd_understands_every_unit(programs, work_dir):
    """The programs stand where systemd looks for them only after an installation."""
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is missing: run deploy/install-packages test")
    shutil.copytree(UNITS, work_dir / "units")
    for path in (work_dir / "units").glob("*.service"):
        text = path.read_text()
        name = re.search(r"^ExecStart=(\S+)", text, re.M)[1]
        path.write_text(text.replace(f"ExecStart={name}", f"ExecStart={programs(name)}"))
    names = sorted(path.name for path in (work_dir / "units").iterdir()
                   if path.suffix in (".service", ".timer", ".path", ".target"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{work_dir}/units:/usr/lib/systemd/system"})
    ours = [line for line in done.stderr.splitlines() if "postern" in line]
    assert ours == []
    assert len(names) >= 10
