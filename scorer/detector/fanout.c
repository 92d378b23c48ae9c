/* SPDX-License-Identifier: Apache-2.0 */
#include "fanout.h"

static void note_server(Fanout *fanout, guint32 server)
{
    for (guint i = 0; i < FANOUT_SERVERS; i++) {
        if (fanout->server[i] == 0)
            fanout->server[i] = server;
        if (fanout->server[i] == server)
            return;
    }
}

void fanout_begin(Fanout *fanout, guint32 recent, gint64 at_s)
{
    *fanout = (Fanout){.half_hour = (guint32)(at_s / FANOUT_SPAN_S), .in = {recent}};
}

void fanout_note(Fanout *fanout, guint64 server, gint64 at_s)
{
    guint32 half_hour = (guint32)(at_s / FANOUT_SPAN_S);
    note_server(fanout, (guint32)(server >> 32) | 1);
    fanout->sessions++;
    if (half_hour > fanout->half_hour) {
        fanout->in[1] = half_hour == fanout->half_hour + 1 ? fanout->in[0] : 0;
        fanout->in[0] = 0;
        fanout->half_hour = half_hour;
    }
    guint32 ago = fanout->half_hour - half_hour;
    if (ago < G_N_ELEMENTS(fanout->in))
        fanout->in[ago]++;
}

guint fanout_servers(const Fanout *fanout)
{
    guint n = 0;
    while (n < FANOUT_SERVERS && fanout->server[n] != 0)
        n++;
    return n;
}

guint fanout_wanted(const Fanout *fanout, guint most)
{
    return (guint)MIN(most, (guint64)fanout->sessions * 3 / 5 + 1);
}

guint32 fanout_recent(const Fanout *fanout, gint64 at_s)
{
    gint64 gone = MAX(at_s / FANOUT_SPAN_S - (gint64)fanout->half_hour, 0);
    guint32 sum = 0;
    for (gint64 i = 0; i + gone < (gint64)G_N_ELEMENTS(fanout->in); i++)
        sum += fanout->in[i];
    return sum;
}
