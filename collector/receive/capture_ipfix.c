/* SPDX-License-Identifier: Apache-2.0 */
#include "capture_ipfix.h"

#include <errno.h>

#include "cursor.h"

enum { HEADER = 16, VERSION = 10, PEEK = 4 };

gboolean capture_ipfix_is(FILE *file)
{
    guint8 start[PEEK];
    gsize n = fread(start, 1, sizeof start, file);
    gboolean is =
        n == sizeof start && pst_load_be16(start) == VERSION && pst_load_be16(start + 2) >= HEADER;
    while (n > 0) /* not rewind: it may be a pipe */
        (void)ungetc(start[--n], file);
    return is;
}

gssize capture_ipfix_next(FILE *file, guint8 *out, GError **error)
{
    gsize n = fread(out, 1, HEADER, file);
    if (n == 0 && !ferror(file))
        return 0;
    gsize length = n == HEADER ? pst_load_be16(out + 2) : 0;
    if (n == HEADER && pst_load_be16(out) == VERSION && length >= HEADER &&
        fread(out + HEADER, 1, length - HEADER, file) == length - HEADER)
        return (gssize)length;
    if (ferror(file))
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s", g_strerror(errno));
    else
        g_set_error_literal(error, PST_ERROR, PST_ERROR_DATA,
                            "the IPFIX file breaks off, or a message lies about its length");
    return -1;
}
