/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What mime.c asks of the pieces that GMime reads; of no use to anybody else. */
#include "mime.h"

/* Before anything else; may be called again and again. */
void mime_codec_init(void);

/* The media type that @header says, in lower case, into @out (MIME_TYPE_MAX bytes). FALSE: it says
 * none, or one that is no type. */
gboolean mime_codec_type(Text header, char *out);

/* The body has to be decoded (base64, quoted-printable, uuencode). */
gboolean mime_codec_is_encoded(Text header);
