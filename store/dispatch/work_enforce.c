/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to the network: taken per adapter, carried out, confirmed. At the start and from time to
 * time each adapter is asked what is applied; where that is not what is wanted, the database gives
 * the orders again. */
#include <string.h>

#include "adapter.h"
#include "prefix_map.h"

static const Adapter *const adapters[] = {&adapter_null, &adapter_hook};

typedef struct {
    const Adapter *adapter;
    gpointer self;
    gboolean compared; /* at least once */
    PstMono next_compare;
    char *trouble; /* NULL: none */
} OpenAdapter;

typedef struct {
    GPtrArray *list;           /* OpenAdapter */
    PstPrefixMap *never_block; /* NULL: no list was given */
} Enforcer;

static void open_adapter_free(gpointer data)
{
    OpenAdapter *open = data;
    if (open->adapter != NULL && open->adapter->close != NULL)
        open->adapter->close(open->self);
    g_free(open->trouble);
    g_free(open);
}

static void set_trouble(OpenAdapter *open, const char *text)
{
    if (g_strcmp0(open->trouble, text) == 0)
        return;
    g_free(open->trouble);
    open->trouble = g_strdup(text);
    if (text != NULL)
        pst_log(PST_LOG_WARN, open->adapter->name, "%s", text);
}

static const Adapter *find_adapter(const char *name, GError **error)
{
    g_autoptr(GString) known = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(adapters); i++) {
        if (strcmp(adapters[i]->name, name) == 0)
            return adapters[i];
        g_string_append_printf(known, "%s%s (%s)", i > 0 ? ", " : "", adapters[i]->name,
                               adapters[i]->help);
    }
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "adapters: there is no \"%s\"; this version has %s", name, known->str);
    return NULL;
}

static gboolean read_never_block(const DispatchConfig *config, PstPrefixMap **out, GError **error)
{
    *out = NULL;
    if (config->never_block == NULL || *config->never_block == '\0')
        return TRUE;
    *out = pst_networks_load(config->never_block, error);
    return *out != NULL;
}

static void enforce_close(gpointer self)
{
    Enforcer *enforcer = self;
    if (enforcer == NULL)
        return;
    g_ptr_array_unref(enforcer->list);
    g_clear_pointer(&enforcer->never_block, pst_prefix_map_free);
    g_free(enforcer);
}

static gboolean enforce_open(Dispatch *dispatch, gpointer *out_self, GError **error)
{
    Enforcer *enforcer = g_new0(Enforcer, 1);
    *out_self = enforcer;
    enforcer->list = g_ptr_array_new_with_free_func(open_adapter_free);
    if (!read_never_block(dispatch->config, &enforcer->never_block, error))
        return FALSE;
    for (char **name = dispatch->config->adapters; name != NULL && *name != NULL; name++) {
        OpenAdapter *open = g_new0(OpenAdapter, 1);
        g_ptr_array_add(enforcer->list, open);
        open->adapter = find_adapter(*name, error);
        if (open->adapter == NULL || !open->adapter->open(dispatch->config, &open->self, error))
            return FALSE;
    }
    return TRUE;
}

static void enforce_reload(Dispatch *dispatch, gpointer self)
{
    Enforcer *enforcer = self;
    g_autoptr(GError) error = NULL;
    PstPrefixMap *fresh;
    if (!read_never_block(dispatch->config, &fresh, &error)) {
        pst_log(PST_LOG_ERR, "never_block", "kept as it was: %s", error->message);
        return;
    }
    g_clear_pointer(&enforcer->never_block, pst_prefix_map_free);
    enforcer->never_block = fresh;
    for (guint i = 0; i < enforcer->list->len; i++) /* somebody changed something: look */
        ((OpenAdapter *)g_ptr_array_index(enforcer->list, i))->compared = FALSE;
}

/* ---- what is applied ---- */

/* @out_since NULL: nothing is to be compared now, *out_hindered says why. Both given. */
static gboolean begin_compare(Dispatch *dispatch, const OpenAdapter *open, char **out_since,
                              char **out_hindered, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, open->adapter->name);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        dispatch->pg, "SELECT since, hindered FROM postern.reconcile_begin($1)", &p, error);
    if (rows == NULL)
        return FALSE;
    *out_since = g_strdup(pst_pg_text(rows, 0, 0));
    *out_hindered = g_strdup(pst_pg_text(rows, 0, 1));
    return TRUE;
}

static gboolean write_compare(Dispatch *dispatch, OpenAdapter *open, const char *since,
                              const char *lines, const char *failure, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, open->adapter->name);
    pst_pg_add_text(&p, since);
    pst_pg_add_text(&p, lines);
    pst_pg_add_text(&p, failure);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        dispatch->pg, "SELECT postern.reconcile($1, $2::timestamptz, $3, $4)", &p, error);
    if (rows == NULL)
        return FALSE;
    gint64 drift = pst_pg_int(rows, 0, 0);
    if (drift > 0)
        pst_log(PST_LOG_WARN, open->adapter->name,
                "%" G_GINT64_FORMAT " units were not as they should be: ordered again", drift);
    set_trouble(open, failure);
    return TRUE;
}

/* A listing that the database cannot read is the adapter's failure, not the database's. */
static gboolean compare(Dispatch *dispatch, OpenAdapter *open, GError **error)
{
    g_autofree char *since = NULL, *hindered = NULL, *detail = NULL, *failure = NULL;
    if (!begin_compare(dispatch, open, &since, &hindered, error))
        return FALSE;
    if (hindered != NULL) {
        set_trouble(open, hindered);
        return TRUE;
    }
    g_autoptr(GString) lines = NULL;
    if (open->adapter->list != NULL &&
        open->adapter->list(open->self, &lines, &detail) == ADAPTER_LIST_FAILED)
        failure = g_strdup_printf("asked what is applied: %s", detail);
    g_autoptr(GError) why = NULL;
    if (write_compare(dispatch, open, since, lines != NULL ? lines->str : NULL, failure, &why))
        return TRUE;
    if (pst_error_class(why) == PST_ERROR_CLASS_TRANSIENT || lines == NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    g_free(failure);
    failure = g_strdup_printf("what it says is applied cannot be read: %s", why->message);
    return write_compare(dispatch, open, since, NULL, failure, error);
}

static gboolean compare_if_due(Dispatch *dispatch, OpenAdapter *open, GError **error)
{
    PstMono now = pst_mono_now();
    if (open->compared && pst_mono_since(open->next_compare, now).ns > 0)
        return TRUE;
    if (!compare(dispatch, open, error))
        return FALSE;
    open->compared = TRUE;
    gint64 span_s = open->trouble != NULL ? MIN(60, dispatch->config->reconcile_s)
                                          : dispatch->config->reconcile_s;
    open->next_compare = pst_mono_add(now, pst_span_ms(span_s * 1000));
    return TRUE;
}

/* ---- orders ---- */

static gboolean write_outcome(Dispatch *dispatch, const char *adapter, const Order *order,
                              PstOutcome outcome, const char *detail, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, adapter);
    pst_pg_add_text(&p, order->unit);
    pst_pg_add_int(&p, order->generation);
    pst_pg_add_text(&p, pst_outcome_name(outcome));
    pst_pg_add_text(&p, detail);
    return pst_pg_run(dispatch->pg, "SELECT postern.order_outcome($1, $2::inet, $3, $4, $5)", &p,
                      NULL, error);
}

static gboolean are_mail_ports(const char *ports)
{
    static const char *const known[] = {"25", "465", "587", "2525", NULL};
    g_auto(GStrv) list = g_strsplit(ports, ",", -1);
    for (char **port = list; *port != NULL; port++)
        if (!g_strv_contains(known, *port))
            return FALSE;
    return list[0] != NULL;
}

/* The last door: holds even if the database is wrong. NULL: the order may go through. */
static const char *why_not(const Enforcer *enforcer, const Order *order)
{
    PstPrefix unit, found;
    if (strcmp(order->action, "open") == 0)
        return NULL;
    if (strcmp(order->action, "block_ports") == 0 && !are_mail_ports(order->ports))
        return "no port but 25, 465, 587 and 2525 is ever closed";
    if (enforcer->never_block == NULL)
        return NULL;
    return !pst_prefix_parse(order->unit, strlen(order->unit), FALSE, &unit) ||
                   pst_prefix_map_find(enforcer->never_block, &unit.addr, NULL, &found)
               ? "it is on this dispatcher's never_block list"
               : NULL;
}

static PstOutcome apply(const Enforcer *enforcer, const OpenAdapter *open, const Order *order,
                        char **out_detail)
{
    const char *why = why_not(enforcer, order);
    if (why == NULL)
        return open->adapter->apply(open->self, order, out_detail);
    *out_detail = g_strdup(why);
    return PST_OUTCOME_REFUSED;
}

static gboolean carry_out(Dispatch *dispatch, const Enforcer *enforcer, OpenAdapter *open,
                          const Order *order, GError **error)
{
    g_autofree char *detail = NULL;
    PstOutcome outcome = apply(enforcer, open, order, &detail);
    g_autofree char *subject = g_strdup_printf("unit %s", order->unit);
    pst_log(outcome == PST_OUTCOME_DONE ? PST_LOG_INFO : PST_LOG_WARN, subject,
            "order %s adapter=%s generation=%" G_GINT64_FORMAT " ports=%s outcome=%s%s%s",
            order->action, open->adapter->name, order->generation, order->ports,
            pst_outcome_name(outcome), detail != NULL ? ": " : "", detail != NULL ? detail : "");
    dispatch_count(dispatch, "enforce", pst_outcome_name(outcome));
    if (outcome == PST_OUTCOME_DONE)
        g_clear_pointer(&open->trouble, g_free);
    else if (outcome == PST_OUTCOME_RETRY)
        set_trouble(open, detail != NULL ? detail : "it puts orders off");
    return write_outcome(dispatch, open->adapter->name, order, outcome, detail, error);
}

/* An order whose outcome cannot be written stays leased and comes again; a wrong one of its own
 * must not stop the others. */
static int turn_of(Dispatch *dispatch, const Enforcer *enforcer, OpenAdapter *open, GError **error)
{
    if (!compare_if_due(dispatch, open, error))
        return -1;
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, open->adapter->name);
    pst_pg_add_text(&p, dispatch->worker);
    pst_pg_add_int(&p, open->adapter->batch);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        dispatch->pg,
        "SELECT postern.unit_text(unit), generation, action, array_to_string(ports, ','), reason,"
        " case_id, ttl_s FROM postern.claim_orders($1, $2, $3)",
        &p, error);
    if (rows == NULL)
        return -1;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        Order order = {.unit = pst_pg_text(rows, i, 0),
                       .generation = pst_pg_int(rows, i, 1),
                       .action = pst_pg_text(rows, i, 2),
                       .ports = pst_pg_text(rows, i, 3),
                       .reason = pst_pg_text(rows, i, 4),
                       .case_id = pst_pg_text(rows, i, 5),
                       .ttl_s = pst_pg_int(rows, i, 6)};
        g_autoptr(GError) why = NULL;
        if (carry_out(dispatch, enforcer, open, &order, &why))
            continue;
        if (pst_error_class(why) == PST_ERROR_CLASS_TRANSIENT) {
            g_propagate_error(error, g_steal_pointer(&why));
            return -1;
        }
        pst_log(PST_LOG_ERR, "enforce", "outcome for %s not taken: %s", order.unit, why->message);
    }
    return pst_pg_count(rows);
}

static int enforce_turn(Dispatch *dispatch, gpointer self, GError **error)
{
    const Enforcer *enforcer = self;
    int total = 0;
    for (guint i = 0; i < enforcer->list->len; i++) {
        int n = turn_of(dispatch, enforcer, g_ptr_array_index(enforcer->list, i), error);
        if (n < 0)
            return -1;
        total += n;
    }
    return total;
}

static const char *enforce_trouble(gpointer self)
{
    const Enforcer *enforcer = self;
    for (guint i = 0; i < enforcer->list->len; i++) {
        const OpenAdapter *open = g_ptr_array_index(enforcer->list, i);
        if (open->trouble != NULL)
            return open->trouble;
    }
    return NULL;
}

const Work work_enforce = {
    .name = "enforce",
    .help = "carry out orders to the network through adapters (role postern_enforcer)",
    .open = enforce_open,
    .turn = enforce_turn,
    .reload = enforce_reload,
    .close = enforce_close,
    .trouble = enforce_trouble,
    .queries = 1,
};
