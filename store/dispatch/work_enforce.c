/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to the network: taken per adapter, carried out, confirmed. */
#include <string.h>

#include "adapter.h"
#include "work.h"

#define BATCH 64

static const Adapter *const adapters[] = {&adapter_null};

typedef struct {
    const Adapter *adapter;
    gpointer self;
} OpenAdapter;

static void open_adapter_free(gpointer data)
{
    OpenAdapter *open = data;
    if (open->adapter != NULL && open->adapter->close != NULL)
        open->adapter->close(open->self);
    g_free(open);
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

static gboolean enforce_open(Dispatch *dispatch, gpointer *out_self, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(open_adapter_free);
    for (char **name = dispatch->config->adapters; name != NULL && *name != NULL; name++) {
        OpenAdapter *open = g_new0(OpenAdapter, 1);
        g_ptr_array_add(list, open);
        const Adapter *adapter = find_adapter(*name, error);
        if (adapter == NULL || !adapter->open(&open->self, error))
            return FALSE;
        open->adapter = adapter;
    }
    *out_self = g_steal_pointer(&list);
    return TRUE;
}

static void enforce_close(gpointer self)
{
    if (self != NULL)
        g_ptr_array_unref(self);
}

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

static gboolean carry_out(Dispatch *dispatch, const OpenAdapter *open, const Order *order,
                          GError **error)
{
    g_autofree char *detail = NULL;
    PstOutcome outcome = open->adapter->apply(open->self, order, &detail);
    g_autofree char *subject = g_strdup_printf("unit %s", order->unit);
    pst_log(outcome == PST_OUTCOME_DONE ? PST_LOG_INFO : PST_LOG_WARN, subject,
            "order %s adapter=%s generation=%" G_GINT64_FORMAT " ports=%s outcome=%s%s%s",
            order->action, open->adapter->name, order->generation, order->ports,
            pst_outcome_name(outcome), detail != NULL ? ": " : "", detail != NULL ? detail : "");
    dispatch_count(dispatch, "enforce", pst_outcome_name(outcome));
    return write_outcome(dispatch, open->adapter->name, order, outcome, detail, error);
}

/* An order whose outcome cannot be written stays leased and comes again; a wrong one of its own
 * must not stop the others. */
static int turn_of(Dispatch *dispatch, const OpenAdapter *open, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, open->adapter->name);
    pst_pg_add_text(&p, dispatch->worker);
    pst_pg_add_int(&p, BATCH);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        dispatch->pg,
        "SELECT postern.unit_text(unit), generation, action, array_to_string(ports, ','), reason"
        " FROM postern.claim_orders($1, $2, $3)",
        &p, error);
    if (rows == NULL)
        return -1;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        Order order = {.unit = pst_pg_text(rows, i, 0),
                       .generation = pst_pg_int(rows, i, 1),
                       .action = pst_pg_text(rows, i, 2),
                       .ports = pst_pg_text(rows, i, 3),
                       .reason = pst_pg_text(rows, i, 4)};
        g_autoptr(GError) why = NULL;
        if (carry_out(dispatch, open, &order, &why))
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
    GPtrArray *list = self;
    int total = 0;
    for (guint i = 0; i < list->len; i++) {
        int n = turn_of(dispatch, g_ptr_array_index(list, i), error);
        if (n < 0)
            return -1;
        total += n;
    }
    return total;
}

const Work work_enforce = {
    .name = "enforce",
    .help = "carry out orders to the network through adapters (role postern_enforcer)",
    .open = enforce_open,
    .turn = enforce_turn,
    .close = enforce_close,
    .queries = 1,
};
