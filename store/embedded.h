/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Files that the build put into the program (cmake/Embed.cmake). */
#include <glib.h>

typedef struct {
    const char *name; /* "0001_roles.sql"; NULL ends a list */
    const char *text; /* ends with NUL */
    gsize len;        /* without the NUL */
} PstEmbedded;

extern const PstEmbedded pst_schema_files[];        /* store/schema/NNNN_name.sql, in order */
extern const PstEmbedded pst_schema_test_files[];   /* store/schema/test/ *.sql, in order */
extern const PstEmbedded pst_mail_template_files[]; /* store/templates, "en.warning.txt" … */
