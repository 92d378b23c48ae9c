/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A set of TCP ports: those that mean mail. A value of 8 KiB; thread: any while nobody changes it.
 */
#include <glib.h>

typedef struct {
    guint64 bits[65536 / 64];
} PortSet;

static inline void portset_add(PortSet *set, guint16 port)
{
    set->bits[port / 64] |= G_GUINT64_CONSTANT(1) << port % 64;
}

static inline gboolean portset_has(const PortSet *set, guint16 port)
{
    return (set->bits[port / 64] >> port % 64 & 1) != 0;
}
