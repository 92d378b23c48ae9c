# SPDX-License-Identifier: Apache-2.0
"""The scenario file as checked values: networks, exporters, hosts and their traffic."""

import dataclasses
import ipaddress
import tomllib

KINDS = {
    "mail": "sends messages to servers",
    "mailed": "gets messages from senders",
    "probe": "connects, greets, quits",
    "web": "fetches pages",
    "visited": "serves pages",
}
INCOMING = ("mailed", "visited")
FATES = ("blocked", "warned", "quiet")
MAX_SESSIONS = 2000
MAX_HOSTS = 64


class ScenarioError(Exception):
    """The scenario file says something that cannot be played; the text names the place."""


@dataclasses.dataclass(frozen=True)
class Exporter:
    name: str
    address: ipaddress.IPv4Address
    version: int


@dataclasses.dataclass(frozen=True)
class Traffic:
    kind: str
    port: int
    sessions: int
    peers: int
    among: ipaddress.IPv4Network | ipaddress.IPv6Network
    from_s: float
    over_s: float
    trouble: dict


@dataclasses.dataclass(frozen=True)
class Host:
    name: str
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    exporters: tuple
    must: str
    story: str
    traffic: tuple

    @property
    def domain(self):
        return f"{self.name}.customer.example"


@dataclasses.dataclass(frozen=True)
class Scenario:
    limit_s: float
    net: dict
    manners: dict
    exporters: tuple
    hosts: tuple
    complaint: dict | None

    def manner_of(self, address):
        """How the server at this address of the internet behaves."""
        for manner, network in self.manners.items():
            if address.version == network.version and address in network:
                return manner
        return "accept"


def _traffic(where, table, manners):
    known = {field.name for field in dataclasses.fields(Traffic)}
    for key in table.keys() - known:
        raise ScenarioError(f"{where}: unknown key '{key}'")
    for key in known - table.keys() - {"trouble"}:
        raise ScenarioError(f"{where}: '{key}' is missing")
    trouble = table.get("trouble", {})
    for manner in trouble.keys() - manners.keys():
        raise ScenarioError(f"{where}: no manner '{manner}', there are {', '.join(manners)}")
    if table["kind"] not in KINDS:
        raise ScenarioError(f"{where}: no kind '{table['kind']}', there are {', '.join(KINDS)}")
    if not 1 <= table["sessions"] <= MAX_SESSIONS:
        raise ScenarioError(f"{where}: sessions must be 1 to {MAX_SESSIONS}")
    if not 1 <= table["peers"] <= table["sessions"]:
        raise ScenarioError(f"{where}: peers must be 1 to the number of sessions")
    if sum(trouble.values()) > table["peers"]:
        raise ScenarioError(f"{where}: more troubled peers than peers")
    among = ipaddress.ip_network(table["among"])
    if table["peers"] > among.num_addresses - 2:
        raise ScenarioError(f"{where}: {among} has no room for {table['peers']} peers")
    return Traffic(**{**table, "among": among, "trouble": trouble})


def _host(table, exporters, manners):
    where = f"host '{table.get('name', '?')}'"
    try:
        traffic = tuple(
            _traffic(f"{where}, traffic {number}", entry, manners)
            for number, entry in enumerate(table["traffic"], 1)
        )
        host = Host(
            name=table["name"],
            address=ipaddress.ip_address(table["address"]),
            exporters=tuple(table["exporters"]),
            must=table["must"],
            story=table["story"],
            traffic=traffic,
        )
    except KeyError as missing:
        raise ScenarioError(f"{where}: {missing} is missing") from None
    if host.must not in FATES:
        raise ScenarioError(f"{where}: must is one of {', '.join(FATES)}")
    for name in host.exporters:
        if name not in exporters:
            raise ScenarioError(f"{where}: no exporter '{name}'")
        if host.address.version == 6 and exporters[name].version == 5:
            raise ScenarioError(f"{where}: NetFlow v5 ('{name}') cannot carry IPv6")
    return host


def read(path):
    """Read and check a scenario file. Raises ScenarioError."""
    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)
        manners = {name: ipaddress.ip_network(net) for name, net in tables["manners"].items()}
        exporters = {
            entry["name"]: Exporter(
                entry["name"], ipaddress.IPv4Address(entry["address"]), entry["version"]
            )
            for entry in tables["exporter"]
        }
        if len(tables["host"]) > MAX_HOSTS:
            raise ScenarioError(f"more than {MAX_HOSTS} hosts")
        return Scenario(
            limit_s=tables["time"]["limit_s"],
            net=tables["net"],
            manners=manners,
            exporters=tuple(exporters.values()),
            hosts=tuple(_host(entry, exporters, manners) for entry in tables["host"]),
            complaint=tables.get("complaint"),
        )
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise ScenarioError(f"{path}: {error}") from None
    except KeyError as missing:
        raise ScenarioError(f"{path}: {missing} is missing") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def describe(scenario):
    """The scenario as a table for people."""
    lines = [f"{'host':<11} {'address':<19} {'must be':<8} {'seen by':<20} does"]
    for host in scenario.hosts:
        lines.append(
            f"{host.name:<11} {host.address!s:<19} {host.must:<8} "
            f"{', '.join(host.exporters):<20} {host.story}"
        )
        for entry in host.traffic:
            lines.append(
                f"{'':<61} {entry.kind} {entry.port}: {entry.sessions} sessions, "
                f"{entry.peers} peers in {entry.among}, {entry.over_s:g} s"
            )
    versions = ", ".join(f"{e.name} {e.address} (version {e.version})" for e in scenario.exporters)
    lines.append(f"\nexporters: {versions}")
    return "\n".join(lines)
