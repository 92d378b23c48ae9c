# SPDX-License-Identifier: Apache-2.0
"""The operator's command on a real database: networks, customers, reporters, addresses, mode."""

import os
import pty

import pytest

from desk import CUSTOMERS, ENGLISH, GERMAN, STRANGER, Desk
from waiting import until


@pytest.fixture
def bare(runner, postgres, work_dir, desk_template):
    """The schema alone."""
    return Desk(runner, postgres, work_dir, desk_template, setup=False)


def everything(desk):
    """All that an import may change."""
    return [desk.query(f"SELECT * FROM postern.{table} ORDER BY 1, 2")
            for table in ("customer", "contact", "ip_assignment", "audit_event", "scorer_input")]


# --- networks --------------------------------------------------------------------------------


def test_networks_are_added_listed_and_exported_for_the_collector(bare):
    assert "added" in bare.cli("networks", "add", "192.0.2.0/24", "--note", "hall 3").stdout
    assert "known" in bare.cli("networks", "add", "192.0.2.0/24").stdout
    bare.cli("networks", "add", "2001:db8::/32")
    assert "hall 3" in bare.cli("networks", "list").stdout
    lines = bare.cli("networks", "export").stdout.splitlines()
    assert lines[0].startswith("#") and lines[1:] == ["192.0.2.0/24", "2001:db8::/32"]
    path = bare.folder / "networks"
    bare.cli("networks", "export", "--output", path)
    assert path.read_text().splitlines() == lines
    assert [p.name for p in bare.folder.iterdir() if p.name.startswith("networks")] == ["networks"]


@pytest.mark.parametrize("net, words", [
    ("192.0.2.1/24", "did you mean 192.0.2.0/24?"), ("192.0.2.0/33", "is no network"),
    ("", "is no network"), ("all", "is no network"), ("192.0.2.0/24; DROP", "is no network"),
])
def test_what_is_no_network_is_refused(bare, net, words):
    assert words in bare.cli("networks", "add", net, status=2).stderr
    assert bare.query("SELECT 1 FROM postern.network") == []


def test_the_whole_internet_is_not_ours(bare):
    assert "is no network of yours" in bare.cli("networks", "add", "0.0.0.0/0", status=1).stderr


@pytest.mark.parametrize("net, limit", [("0.0.0.0/1", "/8"), ("10.0.0.0/7", "/8"),
                                        ("2000::/15", "/16")])
def test_a_network_wider_than_any_hosters_is_asked_back(bare, net, limit):
    refused = bare.cli("networks", "add", net, status=1).stderr
    assert f"wider than {limit}" in refused and "--allow-wide" in refused
    assert bare.query("SELECT 1 FROM postern.network") == []
    bare.cli("networks", "add", net, "--allow-wide")
    assert bare.query("SELECT net::text FROM postern.network") == [(net,)]


@pytest.mark.parametrize("net", ["0.0.0.0/0", "::/0"])
def test_not_even_who_insists_owns_the_internet(bare, net):
    bare.cli("networks", "add", net, "--allow-wide", status=1)
    assert bare.query("SELECT 1 FROM postern.network") == []


def test_a_network_that_is_sold_is_shown_ended_after_a_yes_and_opened(desk):
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    desk.dispatch("enforce")
    applied = "SELECT applied_action FROM postern.enforcement WHERE unit = %s"
    until(lambda: desk.value(applied, GERMAN) == "block_ports", "closed")
    asked = desk.cli("networks", "end", "192.0.2.0/24", status=1)
    for words in ("192.0.2.0/24, ours always", "2 nets in it are assigned", "2 customers",
                  f"1 units are blocked (or about to be frozen): they are opened in the network: "
                  f"{GERMAN}"):
        assert words in asked.stdout, asked.stdout
    assert "say --yes" in asked.stderr
    assert desk.value("SELECT count(*) FROM postern.networks_in_force") == 1
    done = desk.cli("networks", "end", "192.0.2.0/24", "--yes")
    assert "ended" in done.stdout and "networks export" in done.stdout
    until(lambda: desk.value(applied, GERMAN) == "open", "opened, without waiting for a comparison")
    assert desk.state(GERMAN) == "blocked", "what was decided stays on record"
    for net in ("192.0.2.0/24", "192.0.2.0/25"):
        assert "is no network of ours now" in desk.cli("networks", "end", net, "--yes",
                                                       status=1).stderr
    assert "added" in desk.cli("networks", "add", "192.0.2.0/24").stdout
    until(lambda: desk.value(applied, GERMAN) == "block_ports", "bought back: closed again")


def test_half_of_a_network_that_is_also_declared_by_itself_stays(desk):
    desk.cli("networks", "add", "192.0.2.0/28")
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    text = desk.cli("networks", "end", "192.0.2.0/24", "--yes").stdout
    assert "stays ours: 192.0.2.0/28" in text and "1 nets in it" in text
    assert "blocked" not in text
    assert desk.value("SELECT postern.is_ours(%s, postern.now())", GERMAN)


def test_nothing_to_export_is_an_error_and_writes_no_file(bare):
    path = bare.folder / "networks"
    assert "networks add" in bare.cli("networks", "export", "--output", path, status=1).stderr
    assert not path.exists()


def test_an_export_that_cannot_be_written_says_where(bare):
    bare.cli("networks", "add", "192.0.2.0/24")
    path = bare.folder / "absent" / "networks"
    assert str(path) in bare.cli("networks", "export", "--output", path, status=1).stderr


# --- customers -------------------------------------------------------------------------------


def test_an_import_shows_the_difference_and_the_same_file_changes_nothing(desk):
    before = everything(desk)
    assert "nothing to change" in desk.import_csv(CUSTOMERS).stdout
    assert everything(desk) == before
    changed = CUSTOMERS.replace("srv-2", "srv-3") + "192.0.2.32/28,C-3,New One,vps,n,,,\n"
    shown = desk.import_csv(changed, "--dry-run").stdout
    for words in ("C-3", '"srv-2" to "srv-3"', "1 addresses added", "1 customers added"):
        assert words in shown
    assert everything(desk) == before
    desk.import_csv(changed)
    assert desk.value("SELECT count(*) FROM postern.customer") == 3


def test_without_a_terminal_nothing_is_changed_unless_yes_is_said(bare):
    bare.cli("networks", "add", "192.0.2.0/24")
    path = bare.folder / "c.csv"
    path.write_text(CUSTOMERS)
    done = bare.cli("customers", "import", path, status=1)
    assert "2 customers added" in done.stdout and "say --yes" in done.stderr
    assert bare.query("SELECT 1 FROM postern.customer") == []


def test_removing_more_than_a_tenth_needs_force(desk):
    before = everything(desk)
    half = "\n".join(CUSTOMERS.splitlines()[:2]) + "\n"
    refused = desk.import_csv(half, status=1)
    assert "1 of 2 assignments" in refused.stderr and "--force" in refused.stderr
    assert "- net" in refused.stdout
    assert everything(desk) == before
    desk.import_csv(half, "--force")
    assert desk.value("SELECT count(*) FROM postern.ip_assignment WHERE upper_inf(during)") == 1


HEADER = "net,customer,name,contacts,unit_len,tz\n"


@pytest.mark.parametrize("text, words", [
    ("", ":1: the file is empty"),
    ("net,customer\n", "no customer in it"),
    ("net,client\n192.0.2.0/28,C\n", ':1: unknown column "client"'),
    ("customer\nC\n", ':1: column "net" is missing'),
    (HEADER + "192.0.2.0/28,C,n,,,\n192.0.2.1/28,C,n,,,\n", ":3: net \"192.0.2.1/28\" has bits"),
    (HEADER + "nowhere,C,n,,,\n", ':2: net "nowhere" is no network'),
    (HEADER + "192.0.2.0/28,C,n,,\n", ":2: 5 fields, the header has 6"),
    (HEADER + "192.0.2.0/28,,n,,,\n", ":2: customer is missing"),
    (HEADER + "192.0.2.0/28,C,n,nobody,,\n", ':2: contact "nobody"'),
    (HEADER + "192.0.2.0/28,C,n,abuse:a@b\n RCPT,,\n", ":2: 4 fields"),
    (HEADER + "192.0.2.0/28,C,n,,99,\n", ":2: unit_len"),
    (HEADER + "192.0.2.0/28,C,n,,,Mars/Olympus\n", ':2: tz "Mars/Olympus"'),
    (HEADER + "192.0.2.0/28,C,n,,,\n192.0.2.0/28,D,n,,,\n", ":3: net 192.0.2.0/28 stands in"),
    (HEADER + "192.0.2.0/28,C,n,,,\n192.0.2.16/28,C,m,,,\n", ":3: customer C has another name"),
    (HEADER + '192.0.2.0/28,C,"open\n', ":2: a quote opens here and never closes"),
    (HEADER.encode() + b"192.0.2.0/28,C,\xff\xfe,,,\n", ":2: not UTF-8"),
    (HEADER.encode() + b"192.0.2.0/28,C,a\0b,,,\n", ":2: not UTF-8"),
    (HEADER + "192.0.2.0/28,C,\x1b]0;own\x07,,,\n", ":2: a control character (U+001B)"),
    (HEADER + "192.0.2.0/28,C," + "x" * 70000 + ",,,\n", ":2: a field longer than 64 KiB"),
    (bytes(range(256)) * 50, ":1: "),
])
def test_a_bad_file_is_named_with_its_line_and_changes_nothing(desk, text, words):
    before = everything(desk)
    done = desk.import_csv(text, "--force", status=1)
    assert f"customers.csv{words}" in done.stderr or words in done.stderr, done.stderr
    assert "\x1b" not in done.stderr and "\x1b" not in done.stdout
    assert everything(desk) == before


WIDE = "net,customer,name\n192.0.2.0/28,C-1,n\n{net},C-9,n\n"


@pytest.mark.parametrize("net, limit", [
    ("0.0.0.0/0", "our network 192.0.2.0/24"), ("192.0.2.0/23", "our network 192.0.2.0/24"),
    ("8.0.0.0/7", "/8"), ("::/0", "/16"), ("2000::/15", "/16"),
])
def test_a_net_that_would_give_everybody_to_one_customer_is_asked_back(desk, net, limit):
    before = everything(desk)
    refused = desk.import_csv(WIDE.format(net=net), "--force", status=1).stderr
    for words in ("customers.csv:3:", net, f"wider than {limit}", "C-9", "--allow-wide"):
        assert words in refused, refused
    assert everything(desk) == before
    desk.import_csv(WIDE.format(net=net), "--force", "--allow-wide")
    assert desk.value("SELECT customer FROM postern.ip_assignment WHERE net = %s::cidr", net) \
        == "C-9"


def test_a_net_as_wide_as_a_network_of_ours_is_fine(desk):
    """Also where a narrower network lies in the wider one."""
    desk.cli("networks", "add", "192.0.2.128/25")
    desk.import_csv(WIDE.format(net="192.0.2.0/24"), "--force")


@pytest.mark.parametrize("change", [
    lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n"),
    lambda text: text.rstrip("\n"), lambda text: "# our list\n\n" + text + "\n\n"])
def test_what_spreadsheets_do_to_a_file_does_no_harm(desk, change):
    assert "nothing to change" in desk.import_csv(change(CUSTOMERS)).stdout


@pytest.mark.parametrize("text, words", [
    (CUSTOMERS.replace(",", ";"), ":1: its fields are not separated by commas"),
    (CUSTOMERS.replace(",", "\t"), ":1: its fields are not separated by commas"),
    (CUSTOMERS.encode("latin-1"), ":2: not UTF-8"), (CUSTOMERS.encode("utf-16"), ":1: not UTF-8"),
    (CUSTOMERS[:-30], ":3: 6 fields, the header has 8"),
    (CUSTOMERS + CUSTOMERS, ':4: net "net" is no network'),
])
def test_what_spreadsheets_break_is_named_with_a_remedy(desk, text, words):
    before = everything(desk)
    assert words in desk.import_csv(text, status=1).stderr
    assert everything(desk) == before


LOCK = "SELECT pg_advisory_{}(hashtext('postern.customers_import'))"


def waiting_imports(desk):
    return desk.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


def test_two_imports_at_the_same_instant_wait_for_one_another(desk):
    """Both have shown their difference and want to apply it; one of them is first."""
    files = []
    for number, name in enumerate(("One", "Two")):
        files.append(desk.folder / f"{number}.csv")
        files[-1].write_text(CUSTOMERS + "".join(
            f"192.0.2.{n},C-{n},{name} {n},,,,,\n" for n in range(32, 132)))
    with desk.cluster.connect(desk.database) as gate:
        gate.execute(LOCK.format("lock"))
        both = [desk.runner.start("postern", "customers", "import", file, "--yes", "--database",
                                  desk.conninfo()) for file in (*files, files[0])]
        until(lambda: waiting_imports(desk) == 3, "all wait")
        gate.execute(LOCK.format("unlock"))
        assert [program.wait() for program in both] == [0, 0, 0], both[0].stderr + both[1].stderr
    names = desk.query("SELECT DISTINCT split_part(name, ' ', 1) FROM postern.customer"
                       " WHERE id NOT IN ('C-1', 'C-2')")
    assert len(names) == 1, "one whole list, not some of each"
    assert desk.value("SELECT count(*) FROM postern.ip_assignment WHERE upper_inf(during)") == 102
    imports = desk.value("SELECT count(*) FROM postern.audit_event WHERE event = 'import'")
    told = sum("another import was faster" in program.stdout for program in both)
    assert imports - 1 + told == 3


def test_who_was_asked_about_another_difference_is_told_so(desk):
    file = desk.folder / "asked.csv"
    file.write_text(CUSTOMERS + "192.0.2.32/28,C-3,New One,,,,,\n")
    terminal, other_end = pty.openpty()
    program = desk.runner.start("postern", "customers", "import", file, "--database",
                                desk.conninfo(), stdin=other_end)
    until(lambda: "Apply this?" in program.stderr, "it asks")
    desk.import_csv(CUSTOMERS.replace("srv-2", "srv-3"))
    os.write(terminal, b"y\n")
    assert program.expect_failure().wait() == 1
    assert "somebody else has changed the customers" in program.stderr
    assert desk.value("SELECT count(*) FROM postern.customer") == 2
    os.close(terminal)
    os.close(other_end)


def test_words_of_a_file_are_data_and_never_sql(desk):
    name = "Robert'); DROP TABLE postern.customer; -- $1 {x} \\"
    desk.import_csv(CUSTOMERS.replace("Example Ltd", name))
    assert (name,) in desk.query("SELECT name FROM postern.customer")


def test_twenty_thousand_lines_are_no_trouble(bare):
    bare.cli("networks", "add", "10.0.0.0/8")
    lines = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32,C-{n % 500},Customer {n % 500}"
             for n in range(20000)]
    text = "net,customer,name\n" + "\n".join(lines) + "\n"
    assert "20000 addresses added" in bare.import_csv(text).stdout
    assert "nothing to change" in bare.import_csv(text).stdout


def test_a_file_that_is_not_there_is_named(bare):
    assert "/nonexistent.csv" in bare.cli("customers", "import", "/nonexistent.csv",
                                          status=1).stderr


# --- reporters, addresses, mode --------------------------------------------------------------


def test_reporters_are_enrolled_and_listed(desk):
    desk.cli("reporters", "add", "FBL.Example", "--weight", "0.5", "--note", "loop")
    assert desk.query("SELECT weight FROM postern.reporter WHERE domain = 'fbl.example'") \
        == [(0.5,)]
    assert "loop" in desk.cli("reporters", "list").stdout
    assert desk.cli("reporters", "add", "x.example", "--weight", "99", status=1).stderr


def test_an_address_tells_its_story(desk):
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    text = desk.cli("ip", "show", GERMAN).stdout
    for words in ("blocked since", "C-1, Müller, GmbH", "PST-", "ports 25 closed",
                  "420 new mail connections", "verdict block", "mail blocked", "block ports"):
        assert words in text, f"{words}:\n{text}"


def test_an_address_of_nobody_says_which_kind_of_nobody(desk):
    assert "nobody's so far" in desk.cli("ip", "show", STRANGER, status=1).stderr
    assert "none of our networks" in desk.cli("ip", "show", "198.51.100.1", status=1).stderr
    assert "is no address" in desk.cli("ip", "show", "x", status=2).stderr


def test_a_release_needs_a_reason_and_a_block(desk):
    assert "needs --reason" in desk.cli("ip", "release", GERMAN, status=2).stderr
    assert desk.cli("ip", "release", GERMAN, "--reason", "x", status=1).stderr
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    done = desk.cli("ip", "release", GERMAN, "--reason", "cleaned up", "--false-positive")
    assert "unblocking" in done.stdout
    assert desk.query("SELECT release_reason, false_positive FROM postern.block") \
        == [("cleaned up", True)]
    assert ("false_positive",) in desk.query("SELECT kind FROM postern.scorer_input")


def test_an_exemption_has_an_end_and_a_reason(desk):
    assert "needs --until" in desk.cli("ip", "exempt", GERMAN, "--reason", "x", status=2).stderr
    assert "needs --reason" in desk.cli("ip", "exempt", GERMAN, "--until", "2199-01-01",
                                        status=2).stderr
    assert "write 2026-07-01" in desk.cli("ip", "exempt", GERMAN, "--until", "soon", "--reason",
                                          "x", status=2).stderr
    assert "lies ahead" in desk.cli("ip", "exempt", GERMAN, "--until", "2001-01-01", "--reason",
                                    "x", status=1).stderr
    desk.cli("ip", "exempt", "192.0.2.0/28", "--until", "2199-01-01", "--reason", "newsletters",
             "--ceiling", "500")
    assert "newsletters" in desk.cli("ip", "show", GERMAN).stdout
    assert desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN, evidence=950)) \
        == "exempt"
    assert desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(ENGLISH)) == "blocked"
    assert "needs --reason" in desk.cli("ip", "exempt", "192.0.2.0/28", "--end", status=2).stderr
    done = desk.cli("ip", "exempt", GERMAN, "--end", "--reason", "x", status=1)
    assert "of exactly" in done.stderr
    desk.cli("ip", "exempt", "192.0.2.0/28", "--end", "--reason", "sold the newsletter")
    assert desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN, evidence=960,
                                                                       ago="1 s")) == "blocked"


def test_the_mode_is_told_and_changed_only_after_a_yes(desk):
    assert desk.cli("mode").stdout == "enforce\n"
    desk.cli("mode", "shadow")
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    asked = desk.cli("mode", "enforce", status=1)
    assert "blocked 1: 1 addresses of 1 customers" in asked.stdout
    assert GERMAN in asked.stdout and "say --yes" in asked.stderr
    assert desk.cli("mode").stdout == "shadow\n"
    desk.cli("mode", "enforce", "--yes")
    assert desk.cli("mode").stdout == "enforce\n"
    assert desk.state(GERMAN) in (None, "clear"), "what was recorded in shadow stays so"
    assert "not \"loud\"" in desk.cli("mode", "loud", status=2).stderr


def test_enforce_shows_a_shadow_week_and_what_is_not_ready(desk):
    desk.cli("mode", "shadow")
    desk.import_csv(CUSTOMERS + "192.0.2.32/28,C-3,Silent Ltd,,,,,\n", "--force")
    for unit, band in ((GERMAN, "flag"), ("192.0.2.2", "block"), (ENGLISH, "block"),
                       ("192.0.2.33", "block")):
        desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(unit, band))
    desk.cli("ip", "release", ENGLISH, "--reason", "a newsletter", "--false-positive")
    asked = desk.cli("mode", "enforce", status=1).stdout
    for words in ("warned 1 addresses and blocked 3: 4 addresses of 3 customers",
                  "1 of these 4 were called false alarms", "shadow mode has run for 1 hour",
                  "abuse@localhost", "adapter null alone is enabled",
                  "1 of 3 customers have no contact", "never_block is empty", "→ "):
        assert words in asked, asked
    table = [line.split()[:2] for line in asked.splitlines() if "420 new mail" in line]
    assert table == [["blocked", "192.0.2.2"], ["blocked", "192.0.2.33"], ["warned", GERMAN],
                     ["blocked", ENGLISH]], "what would be closed first, what is settled last"
    assert max(map(len, asked.splitlines())) <= 130
    for key, value in (("mail.from", "Desk <abuse@example.net>"), ("mail.domain", "example.net"),
                       ("mail.bounce", "bounces@example.net")):
        desk.query("SELECT postern.set_setting(%s, %s, 'me')", key, value)
    desk.cli("enforcement", "enable", "hook")
    desk.query("SELECT postern.never_block_add('192.0.2.254/32', 'gateway', 'me')")
    desk.import_csv(CUSTOMERS, "--force")
    desk.advance(hours=24 * 7 + 1)
    asked = desk.cli("mode", "enforce", status=1).stdout
    assert "Not ready" not in asked and "warned 0 addresses and blocked 0" in asked


def test_the_audit_is_verified_against_its_seals(desk):
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    desk.value("SELECT postern.seal_audit(10000)")
    digest = desk.value("SELECT digest FROM api_v1.audit_seals ORDER BY id DESC LIMIT 1")
    desk.cli("mode", "shadow")
    whole = desk.cli("audit", "verify", "--digest", digest).stdout
    assert "the audit is whole" in whole and "1 wait" in whole and digest in whole
    assert digest in desk.cli("audit", "seals").stdout
    assert "no seal has the digest" in desk.cli("audit", "verify", "--digest", "0" * 64,
                                                status=1).stdout
    row = desk.value("SELECT min(id) FROM postern.audit_event WHERE unit IS NOT NULL")
    desk.query("ALTER TABLE postern.audit_event DISABLE TRIGGER ALL")
    desk.query("UPDATE postern.audit_event SET actor = 'nobody' WHERE id = %s", row)
    broken = desk.cli("audit", "verify", status=1)
    assert "not as it was sealed" in broken.stderr
    assert str(row) in broken.stdout and "row changed" in broken.stdout and GERMAN in broken.stdout


def test_who_did_it_stands_in_the_audit(desk):
    desk.cli("networks", "add", "198.51.100.0/24", env={"SUDO_USER": "alice"})
    assert desk.query("SELECT actor, login FROM postern.audit_event WHERE event = 'network-add'"
                      " ORDER BY id DESC LIMIT 1") == [("alice", "postgres")]


def test_a_role_without_the_right_is_refused_with_a_reason(desk):
    done = desk.cli("networks", "add", "198.51.100.0/24", role="postern_analyst", status=1)
    assert "permission denied" in done.stderr


def test_an_empty_database_is_named(runner, postgres, database):
    done = runner.run("postern", "mode", "--database", postgres.conninfo(database), status=1)
    assert "postern schema install" in done.stderr


@pytest.mark.parametrize("arguments", [
    ("networks",), ("networks", "remove", "x"), ("networks", "add"), ("networks", "add", "a", "b"),
    ("customers", "import"), ("ip", "show"), ("ip", "eat", "192.0.2.1"), ("reporters", "add"),
    ("mode", "enforce", "now"), ("doctor", "a", "b"), ("ip", "show", "x", "--colour"),
])
def test_wrong_use_is_two_and_points_to_help(runner, arguments):
    done = runner.run("postern", *arguments, "--database", "dbname=x", status=2)
    assert f"Try postern {arguments[0]} --help" in done.stderr


@pytest.mark.parametrize("command", ["postern networks", "postern customers", "postern doctor",
                                     "postern-scorer", "postern-dispatch", "postern-report"])
def test_help_begins_with_what_only_this_one_has(runner, command):
    program, *words = command.split()
    text = runner.run(program, *words, "--help").stdout
    parts = ["Usage:", "Exit status", "\nOptions:", "\nOptions, also keys of the file:",
             "\nOptions of every program:"]
    places = [text.index(part) for part in parts if part in text]
    assert places == sorted(places) and len(places) >= 4
    assert "Application Options" not in text and text.rstrip().endswith("Print this and end")
