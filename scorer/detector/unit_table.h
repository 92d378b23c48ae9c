/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The units that an engine holds: 100 bytes each, and a block of cells (channel.h) per port pair at
 * its first sighting. Bounded: where a new unit finds no room, an idle one without an episode goes.
 * Ids stay as long as the unit does. Owner thread: one. */
#include "channel.h"
#include "pool.h"

#define UNIT_EXPORTERS 4 /* that q is made of; a fifth takes the longest silent one's place */

/* Bits of History.flags; MAIL and WITHHELD by the day's parity. */
#define HISTORY_MAIL(day)     (1u << parity_of(day))
#define HISTORY_WITHHELD(day) (4u << parity_of(day))
#define HISTORY_LENIENT       16u /* withheld data of a newcomer were learned */
#define HISTORY_DIRTY         32u /* differs from its row in the database */
#define HISTORY_VOUCHED       64u /* a flag of it was called false: its most is held */

/* What is remembered of a unit (history.h). Days are counted from 1970. */
typedef struct {
    guint32 since;               /* position of its first sighting + 1; 0: before the log */
    guint16 day;                 /* in force */
    guint16 first_day, mail_day; /* with mail: first, newest */
    guint16 confirmed_day;       /* newest; 0: none */
    guint16 written_day;         /* `day` when its row was told last */
    guint8 days;                 /* with mail, learned; up to KNOWN_DAYS */
    guint8 flags;
    guint32 waiting; /* id of its oldest waiting day; 0: none */
    guint32 inbound; /* id; 0: none */
    guint32 learned[PST_PAIR_COUNT];
} History;

/* Made zeroed. unit.addr.family ≠ 0 while in use. */
typedef struct {
    guint32 block[PST_PAIR_COUNT]; /* ids; 0: none yet */
    guint32 episode;               /* id; 0: none */
    guint32 credit;                /* so many more sightings cannot reach the next band */
    guint32 last_s;                /* event time of its newest sighting of any kind */
    guint32 group;                 /* id of the unit that is its neighbourhood; 0: none */
    PstUnit unit;
    guint8 exempt : 1;
    guint8 known : 1;                /* has history (history.h) */
    guint8 newcomer : 1;             /* … of its first 21 days only */
    guint32 seen_s[UNIT_EXPORTERS];  /* event time of an exporter's last record of it; 0: none */
    guint16 seen_by[UNIT_EXPORTERS]; /* its place in the watermark's table */
    History history;
} Unit;

typedef struct UnitTable UnitTable;

UnitTable *unit_table_new(const guint64 key[2], guint32 max_units);
void unit_table_free(UnitTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(UnitTable, unit_table_free)

/* A keyed hash, good in all bits; also half of the novelty filter's keys. */
guint64 unit_table_hash(const UnitTable *table, const PstUnit *unit);

/* Its id, or 0. @hash of unit_table_hash. */
guint32 unit_table_find(const UnitTable *table, const PstUnit *unit, guint64 hash);
/* Fetches the place where the search begins into the cache. */
void unit_table_prefetch_place(const UnitTable *table, guint64 hash);
gboolean unit_table_full(const UnitTable *table);
/* A new unit; it must not be held yet and the table not be full. Returns its id. */
guint32 unit_table_add(UnitTable *table, const PstUnit *unit, guint64 hash);
/* Forgets it, its blocks included. Its episode is the caller's affair. */
void unit_table_drop(UnitTable *table, guint32 id);
/* Frees the unit's blocks. */
void unit_table_drop_blocks(UnitTable *table, Unit *unit);
/* The unit to go when the table is full: the longest silent of 64 or more looked at in turn, none
 * that is known if there is a stranger, none that has an episode unless all have. */
guint32 unit_table_idlest(UnitTable *table);
/* Walks a part of the table, going on where it stopped: calls @visit for up to @n places. */
typedef void (*UnitVisit)(gpointer user, guint32 id);
void unit_table_walk(UnitTable *table, guint32 n, UnitVisit visit, gpointer user);

Unit *unit_table_at(const UnitTable *table, guint32 id);
/* The unit's block, or NULL. */
Block *unit_table_block(const UnitTable *table, const Unit *unit, PstPortPair pair);
/* Fetches the unit, and the unit's block, into the cache ahead of their use. */
void unit_table_prefetch(const UnitTable *table, guint32 id);
void unit_table_prefetch_block(const UnitTable *table, const Unit *unit, PstPortPair pair);
/* Makes the unit's block, which it has not yet. The caller fills it by block_init. */
Block *unit_table_add_block(UnitTable *table, Unit *unit, PstPortPair pair);
/* Carries of the blocks. */
Pool *unit_table_carries(UnitTable *table);

guint32 unit_table_count(const UnitTable *table);
guint32 unit_table_places(const UnitTable *table); /* ids go from 1 to this */
gsize unit_table_bytes(const UnitTable *table);

void unit_table_write(const UnitTable *table, Image *image);
gboolean unit_table_read(UnitTable *table, PstCursor *from) G_GNUC_WARN_UNUSED_RESULT;
