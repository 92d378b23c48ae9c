/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which nets belong to which customer, as far as neighbourhoods need it: nets of several units.
 * Comes from inputs only, so it is part of the state. Owner: engine. */
#include "image.h"
#include "postern/unit.h"

typedef struct Owners Owners;

Owners *owners_new(void);
void owners_free(Owners *owners);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Owners, owners_free)

/* @owner 0: nobody's any more. */
void owners_set(Owners *owners, const PstPrefix *net, guint64 owner);
/* The owner of the longest net that holds @unit; 0: none is known. */
guint64 owners_of(const Owners *owners, const PstUnit *unit);

void owners_write(const Owners *owners, Image *image);
gboolean owners_read(Owners *owners, PstCursor *from) G_GNUC_WARN_UNUSED_RESULT;
