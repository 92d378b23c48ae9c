# SPDX-License-Identifier: Apache-2.0
"""What the detector must show: false alarms, recall and delays by sampling rate, beside its rivals,
on generated traffic."""

import concurrent.futures
import json
import math
import os
import subprocess
import sys
import threading
import time

from chance import exceeds, median_interval, poisson_interval, wilson_interval
from meter import MeterError
from table import print_table, short

SHARD_UNIT_DAYS = 500_000
METHODS = {"edet": "EDET", "fixed": "82 in 5 min", "scaled": "82/N in 5 min",
           "average": "10 × average"}
# design/detector.md, "What it must show"; one direction, one router, reviewed learning.
WANTED = {
    "alarms": {1: "5", 100: "5", 1000: "2", 4096: "1.5"},
    "mailing": {1: "60", 100: "80", 1000: "40", 4096: "35"},
    "lists": {1: "25 (9) %", 100: "15 (9) %", 1000: "8 (4) %", 4096: "3 (1.5) %"},
    "blocks": {1: "30", 100: "50", 1000: "20", 4096: "18"},
    "flag": {1: "60", 100: "120", 1000: "350", 4096: "1000"},
    "block": {1: "170", 100: "190", 1000: "420", 4096: "1400"},
    "delay": {1: "15 (20) s", 100: "25 (45) s", 1000: "75 (90) s", 4096: "200 (220) s"},
    "episodes": {1: "99.9 %", 100: "99.9 %", 1000: "99.9 %", 4096: "99 %"},
    "web": {1: "280", 100: "400", 1000: "1000", 4096: "3200"},
    "slow": {1: "260", 100: "260", 1000: "420", 4096: "950"},
}


def add_arguments(parser):
    """The options of `tests/bench/run detector`."""
    parser.add_argument("--unit-days", type=float, default=1e6,
                        help="measured days of legitimate addresses, silent ones too; default 1e6")
    parser.add_argument("--trials", type=int, default=200,
                        help="spam episodes of each kind (some have twice as many); default 200")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same traffic; default 1")
    parser.add_argument("--rates", default="1,100,1000,4096", help="sampling 1:N,...")
    parser.add_argument("--history", type=int, default=28, help="days before the measured ones")
    parser.add_argument("--days", type=int, default=28, help="measured days of each address")
    parser.add_argument("--class", dest="only", action="append", metavar="NAME",
                        help="only this class of traffic; again for more")
    parser.add_argument("--classes", metavar="FILE", help="other classes than "
                        "tests/tools/traffic/classes.conf, in the same form")
    parser.add_argument("--config", metavar="FILE",
                        help="keys of the scorer's configuration: what other parameters would do")
    parser.add_argument("--directions", type=int, choices=[1, 2], default=1,
                        help="2: routers tell of both directions")
    parser.add_argument("--routers", type=int, choices=[1, 2, 3, 4], default=1,
                        help="routers that see every packet")
    parser.add_argument("--no-review", action="store_true",
                        help="nobody looks at flags: false positives are not told to the engine")
    parser.add_argument("--no-survival", action="store_true",
                        help="leave the survival curve out: a tenth faster")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--save", metavar="FILE",
                        help="also write the bare counts there, to be pooled")
    parser.add_argument("--pool", metavar="FILE", nargs="+",
                        help="run nothing: the tables of such files together; their seeds differ, "
                        "all else is equal")
    parser.add_argument("--format", choices=["text", "json", "counts"], default="text",
                        help="counts: EDET's counts only, as tests/data/detector.json keeps them")


# --- running ---------------------------------------------------------------------------------

def command(tools, args):
    """bench_detector without its shard."""
    line = [tools.program("bench_detector"), "--seed", str(args.seed),
            "--addresses", str(args.unit_days / args.days), "--trials", str(args.trials),
            "--history", str(args.history), "--days", str(args.days),
            "--directions", str(args.directions), "--routers", str(args.routers)]
    for rate in args.rates.split(","):
        line += ["--rate", rate]
    for name in args.only or []:
        line += ["--class", name]
    if args.classes:
        line += ["--classes", args.classes]
    if args.config:
        line += ["--config", args.config]
    if args.no_review:
        line.append("--no-review")
    if not args.no_survival:
        line.append("--peaks")
    return line


class Progress:
    """A line on a terminal: shards done, time left."""

    def __init__(self, total):
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.lock = threading.Lock()

    def step(self):
        """One more is done."""
        with self.lock:
            self.done += 1
            if not sys.stderr.isatty():
                return
            spent = time.monotonic() - self.start
            left = spent / self.done * (self.total - self.done)
            end = "\n" if self.done == self.total else ""
            print(f"\r\033[Kdetector: {self.done} of {self.total} shards, "
                  f"{spent:.0f} s, about {left:.0f} s left", end=end, file=sys.stderr, flush=True)


def run_shards(tools, args):
    """All shards, in their order whatever the number of jobs."""
    shards = max(1, round(args.unit_days / SHARD_UNIT_DAYS), args.trials // 100)
    progress = Progress(shards)
    line = command(tools, args)

    def one(shard):
        out = subprocess.run(line + ["--shards", str(shards), "--shard", str(shard)], check=True,
                             stdout=subprocess.PIPE, text=True)
        progress.step()
        return json.loads(out.stdout)
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, args.jobs)) as pool:
        return list(pool.map(one, range(shards)))


def add(total, more):
    """Counts are added, lists joined, whatever their depth."""
    for key, value in more.items():
        if isinstance(value, dict):
            add(total.setdefault(key, {}), value)
        elif isinstance(value, (int, float)):
            total[key] = total.get(key, 0) + value
        elif key == "reached":
            total[key] = [a + b for a, b in zip(total.get(key, [0] * len(value)), value)]
        elif isinstance(value, list):
            total[key] = total.get(key, []) + value
    return total


def merged(results):
    """{rate: {"flows": …, "late": …, "methods": {name: {class: counts}}}}."""
    lanes = {}
    for result in results:
        for lane in result["lanes"]:
            rate = lanes.setdefault(lane["rate"], {"flows": 0, "late": 0, "engine_s": 0,
                                                   "null": {}, "cold": {}, "methods": {}})
            for days in ("null", "cold"):
                add(rate[days], lane.get(days, {}))
            for key in ("flows", "late", "engine_s"):
                rate[key] += lane[key]
            for method in lane["methods"]:
                add(rate["methods"].setdefault(method["name"], {}), method["classes"])
    return lanes


SAME = ("rates", "history", "days", "only", "directions", "routers", "no_review")


def save(path, args, results):
    """Bare counts of one run, to be pooled with those of other seeds."""
    piece = {key: getattr(args, key) for key in SAME + ("seed", "unit_days", "trials")}
    with open(path, "w", encoding="utf-8") as out:
        json.dump({**piece, "results": results}, out)


def pooled(args):
    """What was saved in several runs, as if it were one; @args becomes theirs."""
    pieces = []
    for path in args.pool:
        with open(path, encoding="utf-8") as piece:
            pieces.append(json.load(piece))
    seeds = [piece["seed"] for piece in pieces]
    if len(set(seeds)) < len(seeds):
        raise MeterError("two of the files come of one seed: that would count the same days twice")
    for key in SAME:
        if any(piece[key] != pieces[0][key] for piece in pieces):
            raise MeterError(f"the files differ in --{key.replace('_', '-')}")
        setattr(args, key, pieces[0][key])
    args.seed = ", ".join(map(str, sorted(seeds)))
    args.unit_days = sum(piece["unit_days"] for piece in pieces)
    args.trials = sum(piece["trials"] for piece in pieces)
    return [result for piece in pieces for result in piece["results"]]


def describe(tools, args):
    """What bench_detector knows of the classes: {name: {"spam": …, "hard": …, …}}."""
    out = subprocess.run(command(tools, args) + ["--describe"], check=True,
                         stdout=subprocess.PIPE, text=True)
    return json.loads(out.stdout)


# --- figures ---------------------------------------------------------------------------------

class Figures:
    """Everything that is printed, as numbers: {row: {method: {rate: {...}}}}."""

    def __init__(self, args, classes, lanes):
        self.args, self.classes, self.lanes = args, classes, lanes
        self.silent_days = args.unit_days * classes["silent"] / 1e6 if not args.only else 0

    def of(self, rate, method, pick):
        """Sums over the classes that @pick chooses."""
        total = {}
        for name, counts in self.lanes[rate]["methods"][method].items():
            if pick(self.classes["classes"][name]):
                add(total, counts)
        return total

    def alarms(self, rate, method, what="flags", mailing=False):
        """False alarms per million unit-days, with their interval."""
        sums = self.of(rate, method, lambda c: not c["spam"] and not c["first_list"])
        days = sums.get("unit_days", 0) + (0 if mailing else self.silent_days)
        return per_million(sums.get(what, 0), days)

    def lists(self, rate, method):
        """First lists: share flagged and blocked."""
        sums = self.of(rate, method, lambda c: c["first_list"])
        return {"flagged": share(sums.get("lives_flagged", 0), sums.get("lives", 0)),
                "blocked": share(sums.get("lives_blocked", 0), sums.get("lives", 0))}

    def trials(self, rate, method, name):
        """A kind of spam: recall, medians."""
        counts = self.lanes[rate]["methods"][method].get(name)
        if counts is None:
            return None
        reached = {key: [value if value > 0 else math.inf for value in counts[key]]
                   for key in ("flag_until", "block_until", "flag_event_s", "flag_arrival_s",
                               "flag_told", "flag_gone")}
        result = {key: median(values) for key, values in reached.items()}
        result["recall"] = share(sum(map(math.isfinite, reached["flag_until"])), counts["lives"])
        result["blocked"] = share(sum(map(math.isfinite, reached["block_until"])), counts["lives"])
        return result

    def by_class(self, rate, method, name):
        """False alarms of one class, per million of its own unit-days."""
        counts = self.lanes[rate]["methods"][method][name]
        return {key: per_million(counts[key], counts["unit_days"]) for key in ("flags", "blocks")}

    def history(self, rate, method):
        """Alarms before the measured days, while history is made."""
        sums = self.of(rate, method, lambda c: not c["spam"])
        days = sums.get("history_days", 0)
        return {key: per_million(sums.get("history_" + key, 0), days)
                for key in ("flags", "blocks")}


    def survival(self, rate, hard, days="null"):
        """Null days and how many of them reached i·10; of hard classes, or of the others."""
        total = {}
        for name, counts in self.lanes[rate][days].items():
            if self.classes["classes"][name]["hard"] == hard:
                add(total, counts)
        return total

    def episodes(self, rate, method):
        """Recall of all episodes of 2,000 sessions and more in 10 minutes."""
        found = [self.trials(rate, method, name) for name in EPISODES]
        found = [trials["recall"] for trials in found if trials is not None]
        if not found:
            return None
        return share(sum(recall["hits"] for recall in found),
                     sum(recall["tries"] for recall in found))


def per_million(count, days):
    """A rate with its exact interval, and what it rests on."""
    if not days:
        return {"count": count, "unit_days": 0, "value": None, "low": None, "high": None}
    low, high = poisson_interval(count)
    scale = 1e6 / days
    return {"count": count, "unit_days": days, "value": count * scale, "low": low * scale,
            "high": high * scale}


def share(hits, tries):
    """A share with Wilson's interval."""
    low, high = wilson_interval(hits, tries)
    return {"hits": hits, "tries": tries, "value": hits / tries if tries else None, "low": low,
            "high": high}


def median(values):
    """A median with its interval; None: not reached."""
    return dict(zip(("value", "low", "high"),
                    (v if math.isfinite(v) else None for v in median_interval(values))))


# --- words -----------------------------------------------------------------------------------

def number(value):
    """Three digits, or a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def spread(figure):
    """value (low – high)."""
    if figure["value"] is None:
        return "–"
    return f"{number(figure['value'])} ({number(figure['low'])}–{number(figure['high'])})"


def percent(figure, digits=1):
    """The share with its interval."""
    if figure["value"] is None:
        return "–"
    return (f"{100 * figure['value']:.{digits}f} % "
            f"({100 * figure['low']:.{digits}f}–{100 * figure['high']:.{digits}f})")


def cell_of(figures, rate, method, key):
    """One cell of the first table."""
    if key == "alarms":
        return spread(figures.alarms(rate, method))
    if key == "mailing":
        return spread(figures.alarms(rate, method, mailing=True))
    if key == "blocks":
        return spread(figures.alarms(rate, method, "blocks", mailing=True))
    if key == "lists":
        lists = figures.lists(rate, method)
        if lists["flagged"]["value"] is None:
            return "–"
        return f"{100 * lists['flagged']['value']:.1f} ({100 * lists['blocked']['value']:.1f}) %"
    if key == "episodes":
        episodes = figures.episodes(rate, method)
        return percent(episodes) if episodes else "–"
    name, what = SPAM_ROWS[key]
    trials = figures.trials(rate, method, name)
    if trials is None:
        return "–"
    if what == "recall":
        return percent(trials["recall"])
    if what == "delay":
        event, arrival = (number(trials[key]["value"])
                          for key in ("flag_event_s", "flag_arrival_s"))
        return f"{event} ({arrival}) s"
    return spread(trials[what])


SPAM_ROWS = {"flag": ("spam-5", "flag_until"), "told": ("spam-5", "flag_told"),
             "gone": ("spam-5", "flag_gone"),
             "block": ("spam-5", "block_until"), "delay": ("spam-5", "delay"),
             "recall": ("spam-5", "recall"), "recall2000": ("spam-2000", "recall"),
             "web": ("spam-on-web", "flag_until"), "slow": ("spam-slow", "flag_until")}
# One address each, 2,000 sessions or more within 10 minutes.
EPISODES = ("spam-5", "spam-20", "spam-2000", "spam-five", "spam-spray", "spam-submission",
            "spam-synscan")
ROWS = [
    ("alarms", "false alarms per million unit-days, first lists apart", METHODS),
    ("mailing", "… per million mailing unit-days", METHODS),
    ("lists", "first-ever lists flagged (blocked)", METHODS),
    ("blocks", "false blocks per million mailing unit-days", ["edet"]),
    ("flag", "median sessions until flagged, 5/s, silent address", METHODS),
    ("told", "… and begun by the newest event told", ["edet"]),
    ("gone", "… and gone out until the record arrived", METHODS),
    ("block", "median sessions until blocked", ["edet"]),
    ("delay", "delay in event time (arrival), median", METHODS),
    ("episodes", "recall, episodes of 2,000 sessions and more in 10 minutes", METHODS),
    ("recall", "recall, 5/s for 20 minutes", METHODS),
    ("recall2000", "recall, 2,000 in 10 minutes and no more", METHODS),
    ("web", "median, 5/s on top of a light web host", METHODS),
    ("slow", "median, 0.2/s, silent address", METHODS),
]


def print_main(figures, rates):
    """The table of design/detector.md, with the rivals below each row."""
    lines = []
    for key, words, methods in ROWS:
        for method in methods:
            if any(method in figures.lanes[rate]["methods"] for rate in rates):
                lines.append([words if method == "edet" else "", METHODS[method]] +
                             [cell_of(figures, rate, method, key) for rate in rates])
        if key in WANTED:
            lines.append(["", "wanted, at most" if key != "episodes" else
                          "wanted, at least"] + [WANTED[key].get(rate, "–") for rate in rates])
    print_table(["", "method"] + [f"1:{rate}" for rate in rates], lines)


def print_classes(figures, rates):
    """False alarms (blocks) of each legitimate class."""
    print("EDET's false alarms by class, per million unit-days of that class (blocks); * hard\n")
    lines = []
    for name, about in figures.classes["classes"].items():
        if about["spam"] or name not in figures.lanes[rates[0]]["methods"]["edet"]:
            continue
        days = figures.lanes[rates[0]]["methods"]["edet"][name]["unit_days"]
        cells = [figures.by_class(rate, "edet", name) for rate in rates]
        lines.append([name + (" *" if about["hard"] else ""), short(days)] +
                     [f"{number(c['flags']['value'])} ({number(c['blocks']['value'])})"
                      for c in cells])
    cells = [figures.history(rate, "edet") for rate in rates]
    lines.append(["all, while history is made", short(cells[0]["flags"]["unit_days"])] +
                 [f"{number(c['flags']['value'])} ({number(c['blocks']['value'])})" for c in cells])
    print_table(["class", "unit-days"] + [f"1:{rate}" for rate in rates], lines)


def print_spam(figures, rates):
    """Each kind of spam."""
    print("spam: recall, median sessions until flagged / blocked\n")
    lines = []
    for name, about in figures.classes["classes"].items():
        if not about["spam"] or name not in figures.lanes[rates[0]]["methods"]["edet"]:
            continue
        for method in METHODS:
            cells = []
            for rate in rates:
                if method not in figures.lanes[rate]["methods"]:
                    continue
                trials = figures.trials(rate, method, name)
                cells.append(f"{100 * trials['recall']['value']:.1f} %  "
                             f"{number(trials['flag_until']['value'])} / "
                             f"{number(trials['block_until']['value'])}")
            if cells:
                lines.append([name if method == "edet" else "", METHODS[method]] + cells)
    if lines:
        print_table(["spam", "method"] + [f"1:{rate}" for rate in rates], lines)


def print_survival(figures, rates):
    """Days that chance alone should explain, by their highest evidence."""
    print("survival of the daily highest evidence on null days: older than 21 days, no event that "
          "day or the day before,\nhardly growing; share (count) of the unit-days of addresses "
          "that mail; ! more than promised, beyond the slack of\nchance (1 in 1,000). Below them "
          "the first three days of addresses, of which nothing is known\n")
    for title, hard, days in (("all but hard classes", False, "null"),
                              ("hard classes", True, "null"),
                              ("first days, all but hard classes", False, "cold")):
        totals = {rate: figures.survival(rate, hard, days) for rate in rates}
        if not all(total.get("unit_days") for total in totals.values()):
            continue
        lines = [["unit-days", "–"] + [short(totals[rate]["unit_days"]) for rate in rates]]
        for evidence in range(100, 1000, 100):
            promised = 10 ** (-evidence / 100)
            cells = []
            for rate in rates:
                days, count = totals[rate]["unit_days"], totals[rate]["reached"][evidence // 10]
                beyond = "!" if exceeds(count, promised * days) else ""
                cells.append(f"{count / days:.2g} ({count}) {beyond}" if count else "0")
            lines.append([f"{evidence}", f"{promised:.0e}"] + cells)
        print_table([f"evidence, {title}", "promised"] + [f"1:{rate}" for rate in rates], lines)


def as_json(figures, rates):
    """The same for programs."""
    out = {}
    for rate in rates:
        for method, counted in figures.lanes[rate]["methods"].items():
            names = {spam: [name for name in counted
                            if figures.classes["classes"][name]["spam"] == spam]
                     for spam in (False, True)}
            out.setdefault(str(rate), {})[method] = {
                "alarms": figures.alarms(rate, method),
                "mailing_alarms": figures.alarms(rate, method, mailing=True),
                "mailing_blocks": figures.alarms(rate, method, "blocks", mailing=True),
                "first_lists": figures.lists(rate, method),
                "history": figures.history(rate, method),
                "classes": {name: figures.by_class(rate, method, name) for name in names[False]},
                "spam": {name: figures.trials(rate, method, name) for name in names[True]},
            }
        out[str(rate)]["null"] = {"others": figures.survival(rate, False),
                                  "hard": figures.survival(rate, True)}
    return out


def counts(figures, rates):
    """EDET's bare counts: what a test compares."""
    out = {}
    for rate in rates:
        classes = figures.lanes[rate]["methods"]["edet"]
        quiet = figures.of(rate, "edet", lambda c: not c["spam"] and not c["first_list"])
        lists = figures.of(rate, "edet", lambda c: c["first_list"])
        spam = {name: figures.trials(rate, "edet", name) for name in classes
                if figures.classes["classes"][name]["spam"]}
        out[str(rate)] = {
            "alarms": {"flags": quiet["flags"], "blocks": quiet["blocks"],
                       "history_flags": quiet["history_flags"],
                       "history_blocks": quiet["history_blocks"],
                       "lists_flagged": lists["lives_flagged"],
                       "lists_blocked": lists["lives_blocked"]},
            "spam": {name: {"trials": trials["recall"]["tries"],
                            "flagged": trials["recall"]["hits"],
                            "blocked": trials["blocked"]["hits"],
                            "median": trials["flag_until"]["value"]}
                     for name, trials in spam.items()},
            "null": figures.survival(rate, False),
        }
    return out


def run(tools, args):
    """Prints the tables."""
    if args.quick:
        args.unit_days, args.trials = min(args.unit_days, 5e4), min(args.trials, 10)
    classes = describe(tools, args)
    start = time.monotonic()
    results = pooled(args) if args.pool else run_shards(tools, args)
    if args.save:
        save(args.save, args, results)
    figures = Figures(args, classes, merged(results))
    rates = [int(rate) for rate in args.rates.split(",")]
    cpu_s = sum(result["cpu_s"] for result in results)
    if args.format == "counts":
        print(json.dumps(counts(figures, rates), indent=1))
        return
    if args.format == "json":
        print(json.dumps({"seed": args.seed, "unit_days": args.unit_days, "trials": args.trials,
                          "cpu_s": cpu_s, "rates": as_json(figures, rates)}, indent=1))
        return
    mailing = figures.alarms(rates[0], "edet", mailing=True)["unit_days"]
    print(f"generated traffic, seed {args.seed}: {short(args.unit_days)} unit-days, of them "
          f"{short(mailing)} of addresses that mail, {args.history} days of history before; "
          f"{args.directions} direction(s), {args.routers} router(s), "
          f"{'no review' if args.no_review else 'reviewed learning'}\n"
          f"95 % intervals in brackets: counts are taken as Poisson, though days of one address "
          f"hang together\n{short(sum(r['sessions'] for r in results))} sessions, "
          f"{cpu_s:.0f} CPU s, {time.monotonic() - start:.0f} s; "
          f"{cpu_s / args.unit_days * 1e6:.0f} CPU s per million unit-days\n")
    print_main(figures, rates)
    print_classes(figures, rates)
    print_spam(figures, rates)
    print_survival(figures, rates)
