/* SPDX-License-Identifier: Apache-2.0 */
/* The state of an engine as bytes: snapshot and digest. */
#include "history.h"
#include "inbound.h"
#include "postern/error.h"

/* Grows whenever the layout or the meaning of any part changes. */
#define LAYOUT G_GUINT64_CONSTANT(0x706f737465720004)

typedef struct {
    guint64 layout; /* also tells byte order */
    EngineConf conf;
    guint64 partition;
    guint64 sizes[8];
} Head;

/* Compared and hashed as bytes: there is no padding. */
G_STATIC_ASSERT(sizeof(EngineConf) == 3 * 8 + 8 * 4 + 27 * 8);

static void make_head(const EngineConf *conf, guint32 partition, Head *out)
{
    memset(out, 0, sizeof *out);
    out->layout = LAYOUT;
    memcpy(&out->conf, conf, sizeof *conf);
    out->partition = partition;
    const guint64 sizes[] = {sizeof(Unit),  sizeof(Block),   sizeof(Episode), sizeof(Exporter),
                             sizeof(Carry), sizeof(Learned), sizeof(Waiting), sizeof(Inbound)};
    memcpy(out->sizes, sizes, sizeof sizes);
}

static void write_state(const Engine *engine, Image *image)
{
    Head head;
    make_head(&engine->conf, engine->partition, &head);
    image_put(image, &head, sizeof head);
    image_put(image, &engine->s, sizeof engine->s);
    watermark_write(engine->watermark, image);
    rules_write(engine->rules, image);
    owners_write(engine->owners, image);
    unit_table_write(engine->units, image);
    pool_write(&engine->episodes, image);
    pool_write(&engine->learned, image);
    pool_write(&engine->waiting, image);
    pool_write(&engine->inbound, image);
    novelty_write(engine->novelty, image);
}

char *engine_digest(const Engine *engine)
{
    g_autoptr(GChecksum) hash = g_checksum_new(G_CHECKSUM_SHA256);
    Image image = {.hash = hash};
    write_state(engine, &image);
    return g_strdup(g_checksum_get_string(hash));
}

void engine_copy(const Engine *engine, GByteArray *out)
{
    g_assert(engine->verdicts->len == 0 && activity_rows(engine->activity) == 0);
    Image image = {.bytes = out};
    write_state(engine, &image);
}

void engine_seal(GByteArray *io_state, gsize first)
{
    Image image = {.bytes = io_state};
    guint64 sum = image_checksum(io_state->data + first, io_state->len - first);
    image_put(&image, &sum, sizeof sum);
}

void engine_serialise(const Engine *engine, GByteArray *out)
{
    gsize first = out->len;
    engine_copy(engine, out);
    engine_seal(out, first);
}

static gboolean exporters_are_whole(Engine *engine, const Unit *unit)
{
    for (guint i = 0; i < UNIT_EXPORTERS; i++)
        if (unit->seen_s[i] != 0 && unit->seen_by[i] >= watermark_exporters(engine->watermark))
            return FALSE;
    return TRUE;
}

static gboolean history_is_whole(const Engine *engine, const Unit *unit)
{
    const History *h = &unit->history;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        if (h->learned[pair] > engine->learned.used)
            return FALSE;
    return h->waiting <= engine->waiting.used && h->inbound <= engine->inbound.used;
}

/* Ids that units and episodes hold of each other lead to where they should. */
static gboolean is_whole(Engine *engine)
{
    for (guint32 id = 1; id <= engine->episodes.used; id++) {
        const Episode *episode = pool_at(&engine->episodes, id);
        if (!episode->in_use)
            continue;
        if (episode->unit == 0 || episode->unit > unit_table_places(engine->units) ||
            unit_table_at(engine->units, episode->unit)->episode != id)
            return FALSE;
    }
    for (guint32 id = 1; id <= unit_table_places(engine->units); id++) {
        const Unit *unit = unit_table_at(engine->units, id);
        if (unit->episode > engine->episodes.used ||
            unit->group > unit_table_places(engine->units) || !history_is_whole(engine, unit) ||
            !exporters_are_whole(engine, unit))
            return FALSE;
    }
    return TRUE;
}

static gboolean read_state(Engine *engine, PstCursor *from)
{
    return image_get(from, &engine->s, sizeof engine->s) &&
           watermark_read(engine->watermark, from) && rules_read(engine->rules, from) &&
           owners_read(engine->owners, from) && unit_table_read(engine->units, from) &&
           pool_read(&engine->episodes, from) && pool_read(&engine->learned, from) &&
           pool_read(&engine->waiting, from) && pool_read(&engine->inbound, from) &&
           novelty_read(engine->novelty, from) && pst_cursor_left(from) == 0 && is_whole(engine);
}

static gboolean is_same_head(const Head *a, const Head *b)
{
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): it holds doubles, none of them NaN */
    return memcmp(a, b, sizeof *a) == 0;
}

Engine *engine_load(const EngineConf *conf, guint32 partition, const guint8 *data, gsize len,
                    GError **error)
{
    PstCursor from = pst_cursor(data, len);
    Head expected, head;
    make_head(conf, partition, &expected);
    guint64 sum = 0;
    if (len < sizeof head + sizeof sum || !image_get(&from, &head, sizeof head) ||
        !is_same_head(&head, &expected)) {
        g_set_error(error, PST_ERROR, PST_ERROR_CORRUPT,
                    "state of partition %u: written by another version, configuration, partition "
                    "or machine; rebuild it from the log",
                    partition);
        return NULL;
    }
    gsize body = len - sizeof sum;
    memcpy(&sum, data + body, sizeof sum);
    from.end -= sizeof sum;
    g_autoptr(Engine) engine = engine_new(conf, partition);
    if (sum != image_checksum(data, body) || !read_state(engine, &from)) {
        g_set_error(error, PST_ERROR, PST_ERROR_CORRUPT,
                    "state of partition %u: cut short or damaged; rebuild it from the log",
                    partition);
        return NULL;
    }
    return g_steal_pointer(&engine);
}
