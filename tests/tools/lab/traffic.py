# SPDX-License-Identifier: Apache-2.0
"""What will happen, decided before it happens: a list of sessions with their moments.

The same scenario always gives the same list. Only clocks and ports differ from run to run.
"""

import dataclasses
import random

import scenario as scenarios


@dataclasses.dataclass(frozen=True)
class Session:
    """One connection: who opens it, to whom, when (seconds after the start), and for what."""

    host: str  # the customer host it belongs to, on whichever side
    kind: str
    at_s: float
    client: str
    server: str
    port: int
    number: int  # counts from 1 within the host's traffic entry


def _neat(address):
    """A neighbour of the address that does not end in 0 or 255 (legal, but looks like a slip)."""
    if address.version == 4 and int(address) % 256 in (0, 255):
        return address + 3
    return address


def peers(entry, manners, dice):
    """The entry's peers: spread evenly over `among`, the troubled ones at random places."""
    room = min(entry.among.num_addresses - 2, 1 << 20)
    stride = max(1, room // entry.peers)
    chosen = [_neat(entry.among[1 + i * stride]) for i in range(entry.peers)]
    troubled = [
        manners[manner][1 + (entry.port * 7 + i) % 200]
        for manner, count in entry.trouble.items()
        for i in range(count)
    ]
    for place, address in zip(dice.sample(range(entry.peers), len(troubled)), troubled):
        chosen[place] = address
    return chosen


def _sessions_of(host, entry, manners):
    dice = random.Random(f"{host.name} {entry.kind} {entry.port}")
    them = peers(entry, manners, dice)
    gap_s = entry.over_s / entry.sessions
    for i in range(entry.sessions):
        peer, us = str(them[i % entry.peers]), str(host.address)
        incoming = entry.kind in scenarios.INCOMING
        yield Session(
            host=host.name,
            kind=entry.kind,
            at_s=entry.from_s + (i + dice.random()) * gap_s,
            client=peer if incoming else us,
            server=us if incoming else peer,
            port=entry.port,
            number=i + 1,
        )


def plan(scenario):
    """Every session of the scenario, by host and moment."""
    return [
        session
        for host in scenario.hosts
        for entry in host.traffic
        for session in _sessions_of(host, entry, scenario.manners)
    ]
