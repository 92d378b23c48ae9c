/* SPDX-License-Identifier: Apache-2.0 */
#include "heirs.h"

#include <glib/gstdio.h>

#include "log.h"

enum { NUMBERS_MAX = 64 }; /* of workers, ever */

/* One spool that nobody writes to any more. */
typedef struct {
    char *spool;
    char *producer;
    Publisher *publisher; /* NULL: it is done */
} Heir;

struct Heirs {
    PublisherOptions options;
    GPtrArray *all; /* of Heir */
};

char *heirs_spool_of(const char *base, guint n, guint number)
{
    return n == 1 ? g_strdup(base) : g_strdup_printf("%s-%u", base, number);
}

char *heirs_producer_of(const char *base, guint n, guint number)
{
    return n == 1 ? g_strdup(base) : g_strdup_printf("%s/%u", base, number);
}

static void heir_free(gpointer data)
{
    Heir *heir = data;
    publisher_close(heir->publisher);
    g_free(heir->spool);
    g_free(heir->producer);
    g_free(heir);
}

void heirs_close(Heirs *heirs)
{
    if (heirs == NULL)
        return;
    g_ptr_array_unref(heirs->all);
    g_free(heirs);
}

static gboolean inherit(Heirs *heirs, guint n, guint number, GError **error)
{
    Heir *heir = g_new0(Heir, 1);
    PublisherOptions options = heirs->options;
    g_ptr_array_add(heirs->all, heir);
    options.spool = heir->spool = heirs_spool_of(heirs->options.spool, n, number);
    options.producer = heir->producer = heirs_producer_of(heirs->options.producer, n, number);
    pst_log(PST_LOG_NOTICE, "spool", "%s is of a worker that is no more, it is replayed beside",
            heir->spool);
    heir->publisher = publisher_open(&options, error);
    return heir->publisher != NULL;
}

static gboolean is_there(const PublisherOptions *options, guint n, guint number)
{
    g_autofree char *path = heirs_spool_of(options->spool, n, number);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

Heirs *heirs_open(const PublisherOptions *options, guint n, GError **error)
{
    if (options->spool == NULL)
        return NULL;
    g_autoptr(Heirs) heirs = g_new0(Heirs, 1);
    heirs->options = *options;
    heirs->all = g_ptr_array_new_with_free_func(heir_free);
    if (n > 1 && is_there(options, 1, 1) && !inherit(heirs, 1, 1, error))
        return NULL;
    for (guint number = n > 1 ? n + 1 : 1; number <= NUMBERS_MAX; number++) {
        if (is_there(options, NUMBERS_MAX, number) && !inherit(heirs, NUMBERS_MAX, number, error))
            return NULL;
    }
    return heirs->all->len > 0 ? g_steal_pointer(&heirs) : NULL;
}

static void finish(Heir *heir)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    g_clear_pointer(&heir->publisher, publisher_close);
    for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *path = g_strconcat(heir->spool, suffixes[i], NULL);
        (void)g_unlink(path);
    }
    pst_log(PST_LOG_NOTICE, "spool", "%s is replayed and removed", heir->spool);
}

gboolean heirs_tick(Heirs *heirs, PstMono now, GError **error)
{
    for (guint i = 0; heirs != NULL && i < heirs->all->len; i++) {
        Heir *heir = g_ptr_array_index(heirs->all, i);
        if (heir->publisher == NULL)
            continue;
        if (!publisher_tick(heir->publisher, now, error))
            return FALSE;
        if (publisher_is_empty(heir->publisher))
            finish(heir);
    }
    return TRUE;
}
