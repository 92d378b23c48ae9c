/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The classes of generated traffic, read from a small text file; classes.conf is the one that the
 * figures rest on, and its head explains the format. A class is a kind of address; its parts are
 * what such an address does. */
#include "amount.h"

enum { PARTS_MAX = 8, CHOICES_MAX = 6, TABLE = 1024, HOURS = 24 };

/* Whom a session goes to. */
typedef enum {
    TO_PROVIDERS, /* the big mailbox providers, some a lot more than others */
    TO_FIVE,      /* the five biggest of these */
    TO_CIRCLE,    /* the address' own n correspondents, some a lot more than others */
    TO_LIST,      /* the address' own n servers one after another, each event from the first on */
    TO_FIXED,     /* one of the address' own n servers, all alike */
    TO_ONE,       /* one server, another one in each event */
    TO_STRANGERS, /* anybody, hardly ever twice */
    TO_KINDS
} ToKind;

typedef struct {
    double share; /* cumulative, the last one is 1 */
    guint32 n;
    ToKind kind;
} To;

typedef struct {
    double share; /* cumulative */
    guint16 port;
} PortShare;

typedef enum { WHEN_ANY, WHEN_DAILY, WHEN_WEEKLY, WHEN_MONTHLY, WHEN_ONCE } When;

/* Events begin at random times (any: a Poisson process of per_day a day), each day, each week or
 * once at the address' own time; each event is size sessions at rate a second. */
typedef struct {
    char *name;
    When when;
    const double *clock;        /* HOURS + 1 cumulative shares of a day */
    Amount per_day;             /* drawn once for an address */
    Amount scale;               /* the same; of every event's size */
    Amount size, rate;          /* drawn for each event */
    double swing;               /* log of the geometric spread of a day's mean */
    double weekend;             /* factor on Saturday and Sunday */
    double growth, growth_from; /* events a day: from growth_from, × growth a day, up to per_day */
    double failed;              /* share of sessions that nobody answers */
    double again;    /* share of sessions that come again to the same server, half an hour on */
    double inbound;  /* sessions that came in shortly before, for each one that goes out */
    gboolean even;   /* sessions of an event at equal distances */
    gboolean event;  /* an event that chance does not explain; such days are no null */
    gboolean rotate; /* each session from another IPv6 address of the /64 */
    guint32 hosts;   /* neighbouring IPv4 addresses that take turns */
    guint n_to, n_ports;
    To to[CHOICES_MAX];
    PortShare port[CHOICES_MAX];
    guint16 packets[TABLE]; /* draws, client's direction */
    guint32 seconds_ms[TABLE];
} Part;

typedef struct {
    char *name, *about, *on_name;
    double units; /* addresses in a million; of spam: relative number of trials */
    gboolean spam;
    gboolean hard;  /* its alarms are also shown apart */
    gboolean once;  /* first lists: flagged or not is counted by event, not by day */
    gboolean fresh; /* appears some day, at most three weeks before the measured days begin */
    gboolean v6;
    gint on; /* spam: index of the class whose life goes on below it; −1: silent */
    guint n_parts;
    Part *part[PARTS_MAX];
} Class;

typedef struct {
    GArray *classes; /* Class */
} Scene;

/* @error of GLib's key file, or PST_ERROR-less words that name file, group and key. Given. */
Scene *scene_load(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void scene_free(Scene *scene);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scene, scene_free)

const Class *scene_class(const Scene *scene, guint i);
/* Its index, or −1. */
gint scene_find(const Scene *scene, const char *name);
