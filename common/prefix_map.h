/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Longest-prefix match from IP prefixes to a 32-bit value: own networks, assignments, exemptions.
 * Built once, then read-only and shared between threads; a change builds a new map and swaps.
 * IPv4 look-up: at most three dependent loads for ≤ 100,000 prefixes.
 */
#include "postern/addr.h"
#include "postern/error.h"

typedef struct PstPrefixMap PstPrefixMap;

PstPrefixMap *pst_prefix_map_new(void);
void pst_prefix_map_free(PstPrefixMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstPrefixMap, pst_prefix_map_free)

/* Before seal only. The same prefix again replaces the value. */
void pst_prefix_map_add(PstPrefixMap *map, const PstPrefix *prefix, guint32 value);
/* Ends building; look-ups are allowed from now on. */
void pst_prefix_map_seal(PstPrefixMap *map);
gsize pst_prefix_map_size(const PstPrefixMap *map);
/* FALSE: no prefix holds @addr. @out_value and @out_prefix may be NULL. */
gboolean pst_prefix_map_find(const PstPrefixMap *map, const PstAddr *addr, guint32 *out_value,
                             PstPrefix *out_prefix);

/* Own networks as the operator gives them: a file (one CIDR a line, # comments) or a
 * comma-separated list of CIDRs. Value 1 for each. @error USAGE naming file and line. Given,
 * sealed. */
PstPrefixMap *pst_networks_load(const char *file_or_list, GError **error) G_GNUC_WARN_UNUSED_RESULT;
