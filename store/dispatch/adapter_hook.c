/* SPDX-License-Identifier: Apache-2.0 */
/* The hoster's own script: one run per order, the order as a line of JSON on stdin.
 * docs/operating.md ("The hook") is the protocol, deploy/hook/example a script that follows it. */
#include <unistd.h>

#include "adapter.h"
#include "child.h"
#include "json.h"

/* Exit statuses of sysexits.h that mean something here; any other but 0 is a refusal. */
enum { EXIT_LATER = 75, EXIT_NOT_KNOWN = 64 };

#define ORDER_OUTPUT_MAX (64 * 1024)
#define LIST_OUTPUT_MAX  (32 * 1024 * 1024) /* 300,000 lines */

typedef struct {
    char **argv;
    int timeout_s;
} Hook;

static void hook_close(gpointer self)
{
    Hook *hook = self;
    if (hook == NULL)
        return;
    g_strfreev(hook->argv);
    g_free(hook);
}

static gboolean hook_open(const DispatchConfig *config, gpointer *out_self, GError **error)
{
    Hook *hook = g_new0(Hook, 1);
    *out_self = hook;
    hook->timeout_s = (int)config->hook_timeout_s;
    g_autoptr(GError) why = NULL;
    if (config->hook == NULL || *config->hook == '\0')
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "--adapters hook needs --hook \"/path/to/script [ARGUMENT…]\"");
    else if (!g_shell_parse_argv(config->hook, NULL, &hook->argv, &why))
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "hook: %s", why->message);
    else if (!g_path_is_absolute(hook->argv[0]))
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "hook: write the whole path of %s",
                    hook->argv[0]);
    else if (access(hook->argv[0], X_OK) != 0)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "hook: %s cannot be executed",
                    hook->argv[0]);
    else
        return TRUE;
    return FALSE;
}

static void append_text(GString *json, const char *name, const char *text)
{
    pst_json_append_name(json, name);
    pst_json_append_string(json, text);
}

static GString *order_line(const Order *order)
{
    GString *json = g_string_new("{");
    append_text(json, "action", order->action);
    append_text(json, "unit", order->unit);
    pst_json_append_name(json, "ports");
    g_string_append_printf(json, "[%s]", order->ports);
    pst_json_append_name(json, "generation");
    pst_json_append_i64(json, order->generation);
    append_text(json, "reason", order->reason);
    append_text(json, "case", order->case_id);
    pst_json_append_name(json, "ttl_s");
    if (order->ttl_s > 0)
        pst_json_append_i64(json, order->ttl_s);
    else
        g_string_append(json, "null");
    g_string_append(json, "}\n");
    return json;
}

/* Its own words, or what is to be said about its end. */
static char *words_of(const Hook *hook, const Child *child)
{
    if (child->why != NULL)
        return g_strdup_printf("%s (within %d s)%s%s", child->why, hook->timeout_s,
                               child->error_line != NULL ? ": " : "",
                               child->error_line != NULL ? child->error_line : "");
    if (child->status == 0)
        return NULL;
    return g_strdup_printf("exit status %d: %s", child->status,
                           child->error_line != NULL ? child->error_line : "it said nothing");
}

static PstOutcome outcome_of(const Child *child)
{
    if (child->status == 0)
        return PST_OUTCOME_DONE;
    return child->status < 0 || child->status == EXIT_LATER ? PST_OUTCOME_RETRY
                                                            : PST_OUTCOME_REFUSED;
}

static PstOutcome hook_apply(gpointer self, const Order *order, char **out_detail)
{
    const Hook *hook = self;
    g_autoptr(GString) line = order_line(order);
    g_auto(Child) child = {0};
    child_run(hook->argv, line, hook->timeout_s, ORDER_OUTPUT_MAX, &child);
    *out_detail = words_of(hook, &child);
    return outcome_of(&child);
}

static AdapterListing hook_list(gpointer self, GString **out_lines, char **out_detail)
{
    const Hook *hook = self;
    g_autoptr(GString) line = g_string_new("{\"action\":\"list\"}\n");
    g_auto(Child) child = {0};
    child_run(hook->argv, line, hook->timeout_s, LIST_OUTPUT_MAX, &child);
    if (child.status == EXIT_NOT_KNOWN)
        return ADAPTER_CANNOT_LIST;
    *out_detail = words_of(hook, &child);
    if (child.status != 0)
        return ADAPTER_LIST_FAILED;
    *out_lines = g_steal_pointer(&child.out);
    return ADAPTER_LISTED;
}

const Adapter adapter_hook = {
    .name = "hook",
    .help = "runs your own script",
    .batch = 1, /* a script may take as long as an order's lease */
    .open = hook_open,
    .apply = hook_apply,
    .list = hook_list,
    .close = hook_close,
};
