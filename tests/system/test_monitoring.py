# SPDX-License-Identifier: Apache-2.0
"""Alert rules and dashboard: they parse, fire, name what really exists, and say what to do.

Grafana itself is no part of the tests: the dashboard's structure and each of its expressions are
checked here, by Prometheus' own parser."""

import json
import re
import subprocess
import urllib.request

import pytest
import yaml

from conftest import ROOT
from exports import TEMPLATE, Router, data, ipfix, record
from installation import Installation
from waiting import until

RULES = ROOT / "deploy" / "prometheus" / "postern.rules.yml"
TESTS = ROOT / "deploy" / "prometheus" / "postern.tests.yml"
EXAMPLE = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "postern.json"
RUNBOOK = ROOT / "docs" / "operating.md"


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def alerts():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"]
            for rule in group["rules"]]


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def dashboard_expressions():
    return [target["expr"].replace("$__rate_interval", "5m").replace("$exporter", ".*")
            for panel in panels() for target in panel.get("targets", [])]


def metrics_named(expression):
    return set(re.findall(r"\b(?:postern|process)_[a-z0-9_]+", expression))


def test_rules_and_example_are_prometheus():
    promtool("check", "rules", RULES)
    promtool("check", "config", EXAMPLE)


def test_alerts_fire_when_they_should():
    promtool("test", "rules", TESTS)
    tried = {test["alertname"] for group in yaml.safe_load(TESTS.read_text())["tests"]
             for test in group["alert_rule_test"] if test.get("exp_alerts")}
    assert tried == {alert["alert"] for alert in alerts()}


def test_each_alert_has_a_severity_and_a_line_in_the_runbook():
    text = RUNBOOK.read_text()
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert f"| `{alert['alert']}` |" in text, alert["alert"]
    named = set(re.findall(r"^\| `(Postern[A-Za-z]+)` \|", text, re.MULTILINE))
    assert named == {alert["alert"] for alert in alerts()}, "the runbook names what is no alert"


def test_dashboard_is_what_its_table_makes_and_grafana_can_place_it():
    made = subprocess.run([ROOT / "deploy" / "grafana" / "make"], capture_output=True, text=True,
                          check=True).stdout
    assert made == DASHBOARD.read_text(), "run deploy/grafana/make > deploy/grafana/postern.json"
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_dashboard_expressions_parse(work_dir):
    rules = [{"record": f"dashboard:expression_{n}", "expr": expression}
             for n, expression in enumerate(dashboard_expressions())]
    path = work_dir / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", path)


def scrape(program):
    with urllib.request.urlopen(f"{program.url}/metrics", timeout=5) as reply:
        return reply.read().decode()


@pytest.fixture
def site(runner, work_dir, postgres, bus_path):
    """A whole installation that has worked on something, and lost something."""
    site = Installation.of_the_recorded_day(runner, postgres, f"embedded:{bus_path}", work_dir)
    site.start()
    site.replay(speed=0)
    router = Router(site.port, "127.0.0.77")
    router.send(ipfix(TEMPLATE, data(record())), ipfix(data(record()), sequence=9))
    return site


def test_what_is_named_exists_in_running_programs(site):
    wanted = set().union(*map(metrics_named, dashboard_expressions()),
                         *(metrics_named(alert["expr"]) for alert in alerts()))

    def missing():
        told = "".join(scrape(program) for program in site.running.values())
        series = set(re.findall(r"^([a-z0-9_]+)[{ ]", told, re.MULTILINE))
        return wanted - series
    until(lambda: not missing(), f"every metric: {missing()}")


def test_metrics_are_named_and_explained_as_prometheus_wants_it(site):
    for name, program in site.running.items():
        text = scrape(program)
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
        assert kinds and kinds.keys() == helps.keys(), name
        for metric, kind in kinds.items():
            assert metric.startswith(("postern_", "process_")), metric
            assert (kind == "counter") == metric.endswith("_total"), f"{metric} is a {kind}"
            assert helps[metric].endswith("."), f"{metric}: {helps[metric]}"
            assert not re.search(r"_(ms|us|milliseconds|microseconds|kib|mib|percent|permille)\b",
                                 metric.removesuffix("_total")), f"{metric}: base units"
        lint = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                              text=True, check=False)
        assert lint.returncode == 0, f"{name}: {lint.stdout}{lint.stderr}"
