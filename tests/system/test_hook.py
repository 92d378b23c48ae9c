# SPDX-License-Identifier: Apache-2.0
"""The hoster's own script as the way into the network: the example of deploy/hook, scripts that do
wrong what can be done wrong, and kill -9 of dispatcher and script at any moment."""

import json
import os
import random
import signal
import stat
import subprocess
import textwrap
from pathlib import Path

import pytest

from desk import GERMAN, readiness
from ports import free_port
from waiting import until

EXAMPLE = Path(__file__).parents[2] / "deploy/hook/example"


class Network:
    """A desk whose only adapter is hook, and the file that the example keeps."""

    def __init__(self, desk):
        self.desk, self.file = desk, desk.folder / "closed"
        desk.query("SELECT postern.set_adapter('hook', true, true, 'test')")
        desk.query("SELECT postern.set_adapter('null', false, false, 'test')")
        desk.query("SELECT postern.set_adapter_limits('hook', 0, 100, 'test')")

    def dispatch(self, hook=None, *arguments):
        port = free_port()
        program = self.desk.runner.start(
            "postern-dispatch", *self.desk.dispatch_arguments("enforce"), "--adapters", "hook",
            "--hook", hook or f"{EXAMPLE} {self.file}", "--metrics", f"127.0.0.1:{port}",
            *arguments)
        program.url = f"http://127.0.0.1:{port}"
        return program

    def script(self, text):
        """Another script; its first line of stdin is in $order."""
        path = self.desk.folder / "script"
        path.write_text("#!/bin/bash\nread -r order\n" + textwrap.dedent(text))
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        return str(path)

    def block(self, unit=GERMAN):
        number = self.desk.verdict(unit)
        self.desk.query("SELECT postern.apply_verdict(%s)", number)

    def release(self, unit=GERMAN):
        self.desk.cli("ip", "release", unit, "--reason", "cleaned")

    def closed(self):
        """{unit: ports} as the file has it."""
        rows = map(json.loads, self.file.read_text().splitlines()) if self.file.exists() else ()
        return {row["unit"]: row["ports"] for row in rows if row["action"] != "open"}

    def order(self, unit=GERMAN):
        return self.desk.query("SELECT state, error FROM postern.enforcement"
                               " WHERE adapter = 'hook' AND unit = %s", unit)[0]

    def wait_order(self, state, unit=GERMAN):
        until(lambda: self.order(unit)[0] == state, f"the order is {state}")
        return self.order(unit)[1]


@pytest.fixture
def network(desk):
    return Network(desk)


def test_a_block_closes_and_a_release_opens_only_when_the_script_says_so(network):
    network.dispatch()
    network.block()
    network.wait_order("applied")
    assert network.closed() == {GERMAN: [25]}
    assert network.desk.value("SELECT enforced_at IS NOT NULL FROM postern.block")
    network.release()
    network.desk.wait_state(GERMAN, "clear")
    assert network.closed() == {}


def test_the_script_gets_the_whole_order_a_clean_environment_and_no_open_files(network):
    seen = network.desk.folder / "seen"
    network.dispatch(network.script(f"""
        [[ $order == *'"list"'* ]] && exit 64
        echo "$order" >{seen}.new
        env -u _ -u SHLVL -u PWD -u OLDPWD | sort >>{seen}.new
        echo "$PWD $(ls -l /proc/$$/fd | grep -c socket)" >>{seen}.new
        mv {seen}.new {seen}
        """), "--log-level", "info")
    network.block()
    network.wait_order("applied")
    order, *environment, rest = seen.read_text().splitlines()
    order = json.loads(order)
    assert order.pop("reason") and order.pop("case").startswith("PST-")
    assert order == {"action": "block_ports", "unit": GERMAN, "ports": [25], "generation": 1,
                     "ttl_s": 21600}
    assert [line.split("=")[0] for line in environment] == ["LANG", "PATH"]
    assert rest == "/ 0", "its folder, and no connection of the dispatcher's"
    assert network.desk.value("SELECT lists FROM api_v1.adapters WHERE adapter = 'hook'") is False


@pytest.mark.parametrize("body, state, words", [
    ("echo 'the router is rebooting' >&2; echo more >&2; exit 75", "pending",
     "exit status 75: the router is rebooting"),
    ("printf 'no such\\trouter\\r\\n' >&2; exit 3", "failed", "exit status 3: no such router"),
    ("exit 1", "failed", "exit status 1: it said nothing"),
    ("sleep 600", "pending", "its time was over (within 1 s)"),
    ("sleep 600 & sleep 600", "pending", "its time was over (within 1 s)"),
    ("yes", "pending", "it wrote too much (within 1 s)"),
    ("kill -9 $$", "pending", "a signal ended it (within 1 s)"),
    ("exec 0<&- 1>&- 2>&-; sleep 600", "pending", "its time was over (within 1 s)"),
    ("yes >&2", "pending", "its time was over (within 1 s): y"),
    ("sleep 600 & exit 0", "applied", None),
])
def test_what_a_script_can_do_wrong(network, body, state, words):
    network.dispatch(network.script(f"[[ $order == *list* ]] && exit 64\n{body}\n"),
                     "--hook-timeout", "1s")
    network.block()
    if state == "pending":
        until(lambda: network.order()[1], "an outcome")
        assert network.desk.state(GERMAN) == "blocked"
    assert network.wait_order(state) == words
    assert ("order-failed" in network.desk.alarms()) == (state == "failed")


def test_a_script_that_puts_off_shows_in_readyz(network):
    program = network.dispatch(network.script("echo 'router away' >&2; exit 75"))
    network.block()
    until(lambda: readiness(program)[0] == 503 and "router away" in readiness(program)[1],
          "not ready, in its words")


def test_a_script_that_puts_off_for_an_hour_alarms_and_the_port_closes_when_it_can(network):
    desk, later = network.desk, network.desk.folder / "later"
    later.touch()
    network.dispatch(network.script(f"""
        [[ $order == *'"list"'* ]] && exit 64
        [[ ! -e {later} ]] || {{ echo 'router away' >&2; exit 75; }}
        exec {EXAMPLE} {network.file} <<<"$order"
        """))
    network.block()
    for _ in range(12):
        before = desk.value("SELECT attempts FROM postern.enforcement WHERE adapter = 'hook'")
        desk.advance(minutes=5, seconds=1)
        until(lambda: desk.value("SELECT attempts FROM postern.enforcement"
                                 " WHERE adapter = 'hook' AND lease_until IS NULL") > before,
              "tried once more")
    assert desk.alarms() == ["order-late"]
    assert "router away" in desk.value("SELECT detail FROM postern.noc_alarm")
    assert desk.state(GERMAN) == "blocked" and network.closed() == {}
    later.unlink()
    desk.advance(minutes=5, seconds=1)
    network.wait_order("applied")
    assert network.closed() == {GERMAN: [25]} and desk.alarms() == []


@pytest.mark.parametrize("listing", [
    "echo hello", "echo '{}'", "echo '{\"unit\": \"192.0.2.1\"'", "printf '\\377\\0\\n'",
    "echo '{\"unit\":\"192.0.2.1\",\"action\":\"block_ports\",\"ports\":[\"x\"]}'", "exit 3",
    "kill -9 $$", "sleep 600"])
def test_a_list_that_makes_no_sense_changes_nothing_and_alarms(network, listing):
    network.dispatch(network.script(f"""
        if [[ $order == *'"list"'* ]]; then
            {listing}
        else
            exec {EXAMPLE} {network.file} <<<"$order"
        fi
        """), "--hook-timeout", "1s")
    network.block()
    network.wait_order("applied")
    assert network.closed() == {GERMAN: [25]}
    assert network.desk.alarms() == ["drift-unknown"]


def test_a_port_that_is_none_of_mail_is_never_closed_whatever_the_database_says(network):
    network.block()
    network.desk.query("UPDATE postern.enforcement SET ports = '{25,443}'")
    network.dispatch()
    assert "no port but 25" in network.wait_order("failed")
    assert network.closed() == {}


@pytest.mark.parametrize("hook, words", [
    ("", "needs --hook"), ("relative/script", "whole path"), ("/nowhere/script", "executed"),
    ("'/half", "hook:")])
def test_a_wrong_configuration_is_told_at_the_start(network, hook, words):
    ended = network.desk.runner.run(
        "postern-dispatch", *network.desk.dispatch_arguments("enforce"), "--adapters", "hook",
        "--hook", hook, status=2)
    assert words in ended.stderr


def test_what_somebody_else_changed_in_the_network_is_put_right(network):
    network.dispatch(None, "--reconcile", "1s")
    network.block()
    network.wait_order("applied")
    network.file.write_text(json.dumps({
        "unit": "192.0.2.9", "action": "block_ports", "ports": [25], "generation": 0}) + "\n")
    until(lambda: network.closed() == {GERMAN: [25]}, "as it should be")
    until(lambda: network.desk.value("SELECT drift FROM api_v1.adapters WHERE adapter = 'hook'")
          == 0, "and known to be so")
    assert network.desk.value("SELECT detail FROM postern.noc_alarm WHERE kind = 'drift'"
                              ).startswith("1 were missing or different in the network, 1 were")


def test_the_database_is_not_believed_about_what_is_never_blocked(network):
    never = network.desk.folder / "never"
    never.write_text("192.0.2.0/30  # ours\n")
    program = network.dispatch(None, "--never-block", str(never))
    network.block()
    assert "never_block list" in network.wait_order("failed")
    assert network.closed() == {}
    never.write_text("# nothing\n")
    program.process.send_signal(signal.SIGHUP)
    network.desk.advance(hours=1, minutes=1)
    network.wait_order("applied")


def test_the_switch_stops_everything_and_the_doctor_says_so(network):
    desk = network.desk
    assert "needs --reason" in desk.cli("enforcement", "stop", status=2).stderr
    assert "STOPPED" in desk.cli("enforcement", "stop", "--reason", "the router loops").stdout
    program = network.dispatch()
    network.block()
    until(lambda: "enforcement is off" in readiness(program)[1], "readyz says so")
    assert network.order() == ("pending", None)
    assert "enforcement is off" in desk.cli("doctor", status=1).stdout
    assert "enforcement is on" in desk.cli("enforcement", "start").stdout
    network.wait_order("applied")
    assert "blocks open by themselves from" in desk.cli(
        "enforcement", "stop", "--reason", "again").stdout


def test_everything_is_lifted_after_a_yes_and_comes_back(network):
    desk = network.desk
    network.dispatch()
    network.block()
    network.wait_order("applied")
    asked = desk.cli("enforcement", "lift", "--reason", "all wrong", status=1)
    assert "1 blocks would be opened" in asked.stdout and "--yes" in asked.stderr
    assert network.closed() == {GERMAN: [25]}
    desk.cli("enforcement", "lift", "--reason", "all wrong", "--yes")
    network.wait_order("lifted")
    assert network.closed() == {} and desk.state(GERMAN) == "blocked"
    assert "enforcement is lift" in desk.cli("doctor", status=1).stdout
    assert "LIFTED" in desk.cli("enforcement", "show").stdout
    desk.cli("enforcement", "start")
    network.wait_order("applied")
    assert network.closed() == {GERMAN: [25]}


def test_ways_and_limits_are_the_operators_by_name(network):
    desk = network.desk
    text = desk.cli("enforcement", "limits", "hook", "--per-minute", "30", "--share", "25",
                    "--ttl", "1h").stdout
    for words in ("enforcement is on", "30", "25 %", "01:00:00"):
        assert words in text, text
    assert "say --per-minute" in desk.cli("enforcement", "limits", "hook", status=2).stderr
    assert "1 minute to 7 days" in desk.cli("enforcement", "limits", "hook", "--ttl", "1s",
                                            status=1).stderr
    assert "no adapter \"hok\"" in desk.cli("enforcement", "enable", "hok", status=1).stderr
    assert "must stay enabled" in desk.cli("enforcement", "disable", "hook", status=1).stderr
    desk.cli("enforcement", "enable", "null", "--optional")
    assert "must stay enabled" in desk.cli("enforcement", "disable", "hook", status=1).stderr
    desk.cli("enforcement", "enable", "null")
    desk.cli("enforcement", "disable", "hook")


def test_what_is_protected_is_the_operators_to_say_and_to_take_back(network):
    desk = network.desk
    assert "needs --reason" in desk.cli("enforcement", "protect", "192.0.2.0/28",
                                        status=2).stderr
    assert "did you mean 192.0.2.0/28?" in desk.cli("enforcement", "protect", "192.0.2.1/28",
                                                    "--reason", "x", status=2).stderr
    arguments = ("enforcement", "protect", "192.0.2.0/28", "--reason", "our relays")
    assert "never warned" in desk.cli(*arguments).stdout
    assert "stands there already" in desk.cli(*arguments).stdout
    assert "our relays" in desk.cli("enforcement", "protected").stdout
    network.block()
    assert desk.state(GERMAN) in (None, "clear")
    assert "no longer protected" in desk.cli(*arguments, "--end").stdout
    assert "is not protected" in desk.cli(*arguments, "--end", status=1).stderr
    network.block()
    assert desk.state(GERMAN) == "blocked"


def test_blocks_that_nobody_refreshed_are_told_by_the_doctor_and_closed_again(network):
    desk = network.desk
    program = network.dispatch()
    network.block()
    network.wait_order("applied")
    program.kill()
    desk.advance(hours=7)
    assert "1 blocks of adapter hook were not refreshed in time" in desk.cli(
        "doctor", status=1).stdout
    network.dispatch()
    until(lambda: desk.alarms() == ["order-expired"], "closed again, with an alarm")


def test_kill_9_of_dispatcher_and_script_at_any_moment(network):
    """Blocks and releases go on while both are killed; the end is what was decided last."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    desk, units = network.desk, [f"192.0.2.{n}" for n in range(1, 9)]
    desk.query("SELECT postern.set_setting('ladder', '60', 'test')")
    program = network.dispatch(None, "--reconcile", "2s")
    for _ in range(25):
        unit = draw.choice(units)
        if desk.state(unit) == "blocked" and draw.random() < 0.5:
            network.release(unit)
        else:
            network.block(unit)
        for _ in range(draw.randrange(3)):
            until(lambda: desk.value("SELECT true"), "a moment")
        if draw.random() < 0.5:
            if draw.random() < 0.5:
                kill_children(program.process.pid)
            else:
                program.kill()
                program = network.dispatch(None, "--reconcile", "2s")
        desk.advance(seconds=61)  # the lease of who died is over
    def settled():
        desk.advance(seconds=301)
        return not desk.query("SELECT 1 FROM postern.enforcement WHERE adapter = 'hook'"
                              " AND state <> 'applied'")
    until(settled, "everything is confirmed", 60)
    wanted = desk.query("SELECT host(unit) FROM postern.ip_state WHERE state = 'blocked'")
    assert set(network.closed()) == {unit for (unit,) in wanted}
    assert not desk.query("SELECT 1 FROM postern.ip_state WHERE state = 'unblocking'")


def kill_children(pid):
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            os.kill(int(child), signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was over by itself


@pytest.mark.parametrize("script", sorted(EXAMPLE.parent.iterdir()), ids=lambda path: path.name)
def test_scripts_say_what_they_are(script):
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert 'docs/operating.md ("The hook")' in done.stdout
