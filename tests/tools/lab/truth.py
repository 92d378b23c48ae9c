# SPDX-License-Identifier: Apache-2.0
"""What really happened, told by those who did it: the answer sheet for every judge of flows."""

import collections
import datetime


def utc(epoch_s):
    moment = datetime.datetime.fromtimestamp(epoch_s, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _summary(told):
    """Counts of one group of sessions. A session is one connection, answered or not."""
    return {
        "sessions": len(told),
        "clients": len({entry["client"] for entry in told}),
        "servers": len({entry["server"] for entry in told}),
        "ports": dict(sorted(collections.Counter(str(e["port"]) for e in told).items())),
        "outcomes": dict(sorted(collections.Counter(e["outcome"] for e in told).items())),
        "first": utc(min(entry["began"] for entry in told)),
        "last": utc(max(entry["began"] for entry in told)),
        "end": utc(max(entry["ended"] for entry in told)),
    }


_GROUPS = {
    "mail_out": ("mail", "probe"),
    "mail_in": ("mailed",),
    "web_out": ("web",),
    "web_in": ("visited",),
}


def sheet(scenario, told, began, ended, sources):
    """The answer sheet as a JSON-able value.

    @told one entry per session; @sources exporter address → address seen by the collector
    """
    hosts = {}
    for host in scenario.hosts:
        mine = [entry for entry in told if entry["host"] == host.name]
        hosts[host.name] = {
            "address": str(host.address),
            "unit": str(host.address) if host.address.version == 4 else _slash64(host.address),
            "must": host.must,
            "story": host.story,
            "exporters": list(host.exporters),
        }
        for group, kinds in _GROUPS.items():
            if chosen := [entry for entry in mine if entry["kind"] in kinds]:
                hosts[host.name][group] = _summary(chosen)
    return {
        "began": utc(began),
        "ended": utc(ended),
        "exporters": [
            {
                "name": exporter.name,
                "address": str(exporter.address),
                "seen_as": sources.get(str(exporter.address), str(exporter.address)),
                "version": exporter.version,
            }
            for exporter in scenario.exporters
        ],
        "hosts": hosts,
    }


def _slash64(address):
    value = int(address) >> 64 << 64
    return f"{type(address)(value)}/64"


def table(answers):
    """The answer sheet for a person, one line per host."""
    lines = [f"{'host':<11} {'address':<19} {'must be':<8} {'mail out':>8} "
             f"{'servers':>8} {'in':>4}"]
    for name, host in answers["hosts"].items():
        out, inward = host.get("mail_out", {}), host.get("mail_in", {})
        lines.append(
            f"{name:<11} {host['address']:<19} {host['must']:<8} {out.get('sessions', 0):>8} "
            f"{out.get('servers', 0):>8} {inward.get('sessions', 0):>4}"
        )
    return "\n".join(lines)
