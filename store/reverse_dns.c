/* SPDX-License-Identifier: Apache-2.0 */
#include "reverse_dns.h"

#include <gio/gio.h>
#include <string.h>

/* Mails come first: after a question that took a while nobody is asked for four times as long. */
#define SHARE        4
#define REST_US      (60 * G_USEC_PER_SEC) /* after a time-out nobody is asked for so long */
#define NAME_MAX_LEN 253                   /* RFC 1035 §2.3.4 */

struct PstResolver {
    GResolver *resolver;
    GMainContext *context; /* the look-ups' own */
    gint64 rests_until;    /* monotonic */
};

/* One question with a limit: GLib asks in a thread of its own, we wait for it or give up. */
typedef struct {
    GCancellable *cancel;
    gboolean done;
    char *name;
    GList *addresses;
    GError *error;
} Question;

void pst_reverse_dns_clear(PstReverseDns *found)
{
    g_clear_pointer(&found->name, g_free);
    found->state = PST_REVERSE_DNS_UNKNOWN;
}

PstResolver *pst_resolver_new(void)
{
    PstResolver *r = g_new0(PstResolver, 1);
    r->resolver = g_resolver_get_default();
    r->context = g_main_context_new();
    return r;
}

void pst_resolver_free(PstResolver *resolver)
{
    if (resolver == NULL)
        return;
    g_object_unref(resolver->resolver);
    g_main_context_unref(resolver->context);
    g_free(resolver);
}

static void on_name(GObject *source, GAsyncResult *result, gpointer user)
{
    Question *q = user;
    q->name = g_resolver_lookup_by_address_finish(G_RESOLVER(source), result, &q->error);
    q->done = TRUE;
}

static void on_addresses(GObject *source, GAsyncResult *result, gpointer user)
{
    Question *q = user;
    q->addresses = g_resolver_lookup_by_name_finish(G_RESOLVER(source), result, &q->error);
    q->done = TRUE;
}

static gboolean on_limit(gpointer user)
{
    g_cancellable_cancel(((Question *)user)->cancel);
    return G_SOURCE_REMOVE;
}

static void wait_for(PstResolver *r, Question *q, guint limit_ms)
{
    GSource *limit = g_timeout_source_new(limit_ms);
    g_source_set_callback(limit, on_limit, q, NULL);
    g_source_attach(limit, r->context);
    while (!q->done)
        g_main_context_iteration(r->context, TRUE);
    g_source_destroy(limit);
    g_source_unref(limit);
}

static gboolean leads_back(const GList *addresses, GInetAddress *address)
{
    for (const GList *l = addresses; l != NULL; l = l->next)
        if (g_inet_address_equal(l->data, address))
            return TRUE;
    return FALSE;
}

/* A name that a stranger gave: only what a host name may have is shown. */
static gboolean is_host_name(const char *name)
{
    gsize len = strlen(name);
    return len > 0 && len <= NAME_MAX_LEN &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == len;
}

static PstReverseDnsState state_of(const Question *q)
{
    return g_error_matches(q->error, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND)
               ? PST_REVERSE_DNS_NONE
               : PST_REVERSE_DNS_UNKNOWN;
}

static void ask(PstResolver *r, GInetAddress *address, guint limit_ms, PstReverseDns *out)
{
    gint64 begin = g_get_monotonic_time(), end = begin + limit_ms * G_TIME_SPAN_MILLISECOND;
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    Question name = {.cancel = cancel}, back = {.cancel = cancel};
    g_resolver_lookup_by_address_async(r->resolver, address, cancel, on_name, &name);
    wait_for(r, &name, limit_ms);
    if (name.name != NULL && is_host_name(name.name)) {
        gint64 left_ms = (end - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;
        g_resolver_lookup_by_name_async(r->resolver, name.name, cancel, on_addresses, &back);
        wait_for(r, &back, (guint)MAX(left_ms, 0));
    }
    if (name.name == NULL)
        out->state = state_of(&name);
    else if (back.error != NULL && state_of(&back) == PST_REVERSE_DNS_UNKNOWN)
        out->state = PST_REVERSE_DNS_UNKNOWN;
    else if (is_host_name(name.name)) {
        out->state =
            leads_back(back.addresses, address) ? PST_REVERSE_DNS_RIGHT : PST_REVERSE_DNS_ASTRAY;
        out->name = g_steal_pointer(&name.name);
    }
    gint64 now = g_get_monotonic_time();
    r->rests_until = now + (g_cancellable_is_cancelled(cancel) ? REST_US : SHARE * (now - begin));
    g_free(name.name);
    g_clear_error(&name.error);
    g_clear_error(&back.error);
    g_resolver_free_addresses(back.addresses);
}

void pst_reverse_dns(PstResolver *resolver, const char *address, guint limit_ms, PstReverseDns *out)
{
    *out = (PstReverseDns){.state = PST_REVERSE_DNS_UNKNOWN};
    g_autoptr(GInetAddress) parsed = g_inet_address_new_from_string(address);
    if (parsed == NULL || g_get_monotonic_time() < resolver->rests_until)
        return;
    g_main_context_push_thread_default(resolver->context);
    ask(resolver, parsed, limit_ms, out);
    g_main_context_pop_thread_default(resolver->context);
}
