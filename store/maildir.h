/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Delivery into a maildir that can be repeated: the same Message-ID is one file, for ever.
 * Source: https://cr.yp.to/proto/maildir.html, but with a name that the mail decides.
 */
#include "postern/error.h"

/* Puts the message (CRLF or LF; stored with LF) into @folder/new by way of tmp, synced to the disk
 * before it returns. Makes @folder if it is absent. A mail with this Message-ID that stands in new
 * or cur already is left alone and counts as delivered.
 * Returns its path (given). @error IO: nothing was delivered; nothing stays in tmp. */
char *pst_maildir_put(const char *folder, const char *message_id, const char *data, gsize len,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
