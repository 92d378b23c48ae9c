/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Ways into the network: each carries out orders about units and confirms them.
 *
 * An order states what is wanted, not a change: carrying it out again is harmless. New ways (nft,
 * exabgp) are a row in the table of work_enforce.c and a file adapter_NAME.c.
 */
#include "postern/error.h"
#include "postern/outcome.h"
#include "work.h"

typedef struct {
    const char *unit; /* "192.0.2.7", "2001:db8:1::/64" */
    gint64 generation;
    const char *action; /* open, block_ports, block_address, freeze */
    const char *ports;  /* "25,587"; "" unless block_ports */
    const char *reason;
    const char *case_id; /* "PST-2026-000123"; NULL: none */
    gint64 ttl_s; /* the network forgets it after so long, it is given again before; 0: never */
} Order;

typedef enum { ADAPTER_LISTED, ADAPTER_CANNOT_LIST, ADAPTER_LIST_FAILED } AdapterListing;

typedef struct {
    const char *name;
    const char *help;
    int batch; /* orders taken at once: all of them within the lease of a minute */
    /* *out_self is closed also after a failure. @error USAGE, IO. */
    gboolean (*open)(const DispatchConfig *config, gpointer *out_self, GError **error);
    /* Carries out @order and waits for the confirmation. @out_detail a sentence or NULL; given. */
    PstOutcome (*apply)(gpointer self, const Order *order, char **out_detail);
    /* What is applied now, as JSON lines {unit, action, ports}; NULL: there is nothing to ask.
     * @out_lines given when LISTED, @out_detail when FAILED. */
    AdapterListing (*list)(gpointer self, GString **out_lines, char **out_detail);
    void (*close)(gpointer self);
} Adapter;

extern const Adapter adapter_null;
extern const Adapter adapter_hook;
