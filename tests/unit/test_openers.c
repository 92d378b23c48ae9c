/* SPDX-License-Identifier: Apache-2.0 */
#include "openers.h"

#include <criterion/criterion.h>

#include "flow_builder.h"

static void note(Openers *openers, guint host, guint16 port, PstDirection direction, guint times)
{
    g_autofree char *addr = g_strdup_printf("192.0.2.%u", host);
    PstFlow flow = test_flow(addr, "203.0.113.5", port, 1);
    flow.src_port = 40000;
    flow.direction = (guint8)direction;
    while (times-- > 0)
        openers_note(openers, &flow);
}

Test(openers, are_told_by_their_number)
{
    Openers openers = {0};
    cr_assert_null(openers_text(&openers));
    note(&openers, 1, 25, PST_DIR_UNKNOWN, 2);
    note(&openers, 2, 587, PST_DIR_TRANSIT, 9);
    note(&openers, 3, 25, PST_DIR_IN, 5);
    note(&openers, 4, 25, PST_DIR_UNKNOWN, 1);
    g_autofree char *text = openers_text(&openers);
    cr_assert_str_eq(text, "192.0.2.2, 192.0.2.3, 192.0.2.1");
}

Test(openers, do_not_count_ours_or_other_traffic)
{
    Openers openers = {0};
    note(&openers, 1, 25, PST_DIR_OUT, 1);
    note(&openers, 1, 25, PST_DIR_INSIDE, 1);
    note(&openers, 1, 443, PST_DIR_UNKNOWN, 1);
    cr_assert_null(openers_text(&openers));
}

Test(openers, that_are_most_stay_however_many_others_come)
{
    Openers openers = {0};
    for (guint round = 0; round < 200; round++) {
        note(&openers, 250, 25, PST_DIR_UNKNOWN, 1);
        note(&openers, round % 240, 25, PST_DIR_UNKNOWN, 1);
    }
    g_autofree char *text = openers_text(&openers);
    cr_assert(g_str_has_prefix(text, "192.0.2.250"), "%s", text);
}
