# SPDX-License-Identifier: Apache-2.0
"""What every benchmark prints around its figures: the machine, the date, a Markdown table."""

import datetime
import os
import platform
import shlex
import sys


def processor():
    """Model name and number of processors that this process may use."""
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {len(os.sched_getaffinity(0))} processors"


def memory_gb():
    """Installed memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def kernel_setting(name):
    """A value below /proc/sys."""
    with open(f"/proc/sys/{name}", encoding="ascii") as setting:
        return setting.read().strip()


def print_machine():
    """Date, machine and command: a figure without them says nothing."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    print(f"date     {now.isoformat()}")
    print(f"machine  {processor()}, {memory_gb():.0f} GB, Linux {platform.release()}, "
          f"load {os.getloadavg()[0]:.1f}")
    print(f"command  tests/bench/run {shlex.join(sys.argv[1:])}")
    print(flush=True)


def print_table(head, rows):
    """A Markdown table; the first column is left, the others are right."""
    lines = [head] + rows
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def line(cells):
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])]
        return "| " + " | ".join(padded) + " |"
    print(line(head))
    print("|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":"
                         for i, w in enumerate(widths)) + "|")
    for row in rows:
        print(line(row))
    print(flush=True)


def short(number):
    """1234567 becomes 1.23 M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * limit:
            return f"{three_digits(number / limit)} {unit}"
    return three_digits(number)


def three_digits(number):
    """12.345 becomes 12.3, 123.4 becomes 123."""
    return f"{number:.{2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0}f}"
