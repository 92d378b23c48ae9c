# SPDX-License-Identifier: Apache-2.0
"""The dispatcher gives months of activity their partitions before they begin."""

from waiting import until


def months(desk):
    return desk.value("SELECT count(*) FROM pg_inherits"
                      " WHERE inhparent = 'postern.smtp_activity'::regclass") - 1


def test_the_deadline_work_makes_partitions_and_moves_what_waited_for_one(desk):
    # Late, and still within the months that are kept.
    month = desk.value("SELECT date_trunc('month', now() AT TIME ZONE 'UTC') - interval '8 months'")
    desk.query("INSERT INTO postern.smtp_activity VALUES ('192.0.2.1', %s AT TIME ZONE 'UTC',"
               " 1, 1, 1, 1, 0, 1)", month)
    desk.dispatch("deadline")
    until(lambda: months(desk) == 4, "this month, two ahead, and the one that waited")
    assert desk.value("SELECT tableoid::regclass::text FROM postern.smtp_activity") \
        == f"postern.smtp_activity_{month:%Y_%m}"
