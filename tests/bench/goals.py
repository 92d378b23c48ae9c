# SPDX-License-Identifier: Apache-2.0
"""What was promised, beside what was measured."""

from table import print_table, short


class Goals:
    """Collects one line for each goal and prints them at the end."""

    def __init__(self):
        self.lines = []

    def add(self, what, wanted, measured, reached):
        """@reached None: it was not measured."""
        verdict = {True: "reached", False: "missed", None: "not measured"}[reached]
        self.lines.append([what, wanted, measured, verdict])

    def least(self, what, wanted, measured):
        """A figure that should be at least so large; @measured None: not measured."""
        if measured is None:
            self.add(what, f"≥ {short(wanted)}", "–", None)
        else:
            self.add(what, f"≥ {short(wanted)}", short(measured), measured >= wanted)

    def most(self, what, wanted, measured):
        """A figure that should be at most so large."""
        self.add(what, f"≤ {short(wanted)}", short(measured), measured <= wanted)

    def ratios(self, what, medians, wanted):
        """Ours over each peer's."""
        for key, least in wanted.items():
            both = medians.get("ours") and medians.get(key)
            self.least(f"{what}: ours ÷ {key}", least,
                       medians["ours"] / medians[key] if both else None)

    def print(self):
        """The table."""
        if self.lines:
            print_table(["goal", "wanted", "measured", ""], self.lines)
