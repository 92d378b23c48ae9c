/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Evidence on its way to the bus, and to the spool when the bus is away.
 *
 * The spool is an embedded bus file. What lies in it is put on the bus by the next intake that
 * finds the bus there. A piece may then arrive twice; the store knows it by its report id and
 * content. Thread: its owner's.
 */
#include "postern/error.h"
#include "postern/evidence.h"

typedef struct Publisher Publisher;

typedef struct {
    const char *bus;   /* URI; borrowed until publisher_close() */
    const char *spool; /* embedded:PATH, or NULL: none; borrowed likewise */
    const char *group; /* Unix group of new embedded files, or NULL */
    gint32 partitions; /* of the topic, if it has to be made */
    int timeout_ms;    /* how long the bus may take for one mail */
} PublisherOptions;

/* Opens the bus, and moves to it what the spool holds. If that fails, the spool stands in until
 * publisher_close(). @error the bus's, if there is no spool. Given. */
Publisher *publisher_open(const PublisherOptions *options, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void publisher_close(Publisher *publisher);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Publisher, publisher_close)

/* Publishes all of @evidence (PstEvidence; borrowed). TRUE: durable, on the bus or in the spool.
 * @error the bus's, or the spool's: whoever sent the mail should try again. */
gboolean publisher_send(Publisher *publisher, const GPtrArray *evidence, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
