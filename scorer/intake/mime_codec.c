/* SPDX-License-Identifier: Apache-2.0 */
#include "mime_codec.h"

#include <gmime/gmime.h>

#include "fields.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GMimeContentType, g_object_unref)

enum {
    VALUE_MAX = 4096, /* bytes of a header value that GMime gets to see */
};

/* Character sets that mail is written in. An unknown name never reaches iconv. */
static const char *const charsets[] = {
    "ISO-8859-1",   "ISO-8859-2",   "ISO-8859-3",   "ISO-8859-4",   "ISO-8859-5",   "ISO-8859-7",
    "ISO-8859-9",   "ISO-8859-10",  "ISO-8859-13",  "ISO-8859-14",  "ISO-8859-15",  "ISO-8859-16",
    "WINDOWS-1250", "WINDOWS-1251", "WINDOWS-1252", "WINDOWS-1253", "WINDOWS-1254", "WINDOWS-1255",
    "WINDOWS-1256", "WINDOWS-1257", "WINDOWS-1258", "KOI8-R",       "KOI8-U",       "UTF-16",
    "UTF-16LE",     "UTF-16BE",     "SHIFT_JIS",    "EUC-JP",       "ISO-2022-JP",  "EUC-KR",
    "GB2312",       "GBK",          "GB18030",      "BIG5",
};

static const char *known_charset(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(charsets); i++)
        if (g_ascii_strcasecmp(name, charsets[i]) == 0)
            return charsets[i];
    return NULL;
}

/* NULL: the header does not say. Given (g_object_unref). */
static GMimeContentType *content_type(Text header)
{
    g_autofree char *value = text_clean(fields_value(header, "Content-Type"), VALUE_MAX);
    return value != NULL ? g_mime_content_type_parse(NULL, value) : NULL;
}

static GMimeContentEncoding encoding(Text header)
{
    g_autofree char *value = text_clean(fields_value(header, "Content-Transfer-Encoding"), 80);
    return value != NULL ? g_mime_content_encoding_from_string(value)
                         : GMIME_CONTENT_ENCODING_DEFAULT;
}

void mime_codec_init(void)
{
    g_mime_init();
}

gboolean mime_codec_type(Text header, char *out)
{
    g_autoptr(GMimeContentType) type = content_type(header);
    const char *major = type != NULL ? g_mime_content_type_get_media_type(type) : NULL;
    const char *minor = type != NULL ? g_mime_content_type_get_media_subtype(type) : NULL;
    if (major == NULL || minor == NULL)
        return FALSE;
    g_snprintf(out, MIME_TYPE_MAX, "%s/%s", major, minor);
    for (char *p = out; *p != '\0'; p++)
        *p = g_ascii_tolower(*p);
    return TRUE;
}

gboolean mime_codec_is_encoded(Text header)
{
    switch (encoding(header)) {
    case GMIME_CONTENT_ENCODING_BASE64:
    case GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE:
    case GMIME_CONTENT_ENCODING_UUENCODE:
        return TRUE;
    case GMIME_CONTENT_ENCODING_DEFAULT:
    case GMIME_CONTENT_ENCODING_7BIT:
    case GMIME_CONTENT_ENCODING_8BIT:
    case GMIME_CONTENT_ENCODING_BINARY:
        break;
    }
    return FALSE;
}

char *mime_parameter(const MimePart *part, const char *name)
{
    g_autoptr(GMimeContentType) type = content_type(part->header);
    return type != NULL ? g_strdup(g_mime_content_type_get_parameter(type, name)) : NULL;
}

static GString *to_utf8(GString *bytes, const char *charset)
{
    const char *from = charset != NULL ? known_charset(charset) : NULL;
    if (from == NULL)
        return bytes;
    gsize len = 0;
    g_autofree char *utf8 = g_convert_with_fallback(bytes->str, (gssize)bytes->len, "UTF-8", from,
                                                    "?", NULL, &len, NULL);
    if (utf8 != NULL) {
        g_string_truncate(bytes, 0);
        g_string_append_len(bytes, utf8, (gssize)len);
    }
    return bytes;
}

GString *mime_decode(const MimePart *part, gsize max)
{
    GMimeEncoding state;
    Text body = part->body;
    g_mime_encoding_init_decode(&state, encoding(part->header));
    /* No sane encoding makes four bytes and more of one. */
    if (max < body.len / 4)
        body.len = max * 4;
    GString *out = g_string_sized_new(g_mime_encoding_outlen(&state, body.len) + 1);
    out->len = g_mime_encoding_flush(&state, body.at, body.len, out->str);
    out->str[out->len] = '\0';
    if (out->len > max)
        g_string_truncate(out, max);
    g_autofree char *charset = mime_parameter(part, "charset");
    return to_utf8(out, charset);
}

char *mime_decode_words(Text value, gsize max)
{
    g_autofree char *raw = text_clean(value, VALUE_MAX);
    g_autofree char *decoded = raw != NULL ? g_mime_utils_header_decode_text(NULL, raw) : NULL;
    return decoded != NULL ? text_clean(text(decoded, strlen(decoded)), max) : NULL;
}

gboolean mime_date(Text value, gint64 *out_ns)
{
    static const gint64 last_s = G_GINT64_CONSTANT(9214646400); /* 2262-01-01 */
    g_autofree char *raw = text_clean(value, 128);
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) at = raw != NULL ? g_date_time_new_from_iso8601(raw, utc) : NULL;
    if (at == NULL && raw != NULL)
        at = g_mime_utils_header_decode_date(raw);
    gint64 s = at != NULL ? g_date_time_to_unix(at) : 0;
    if (s <= 0 || s >= last_s)
        return FALSE;
    *out_ns = s * G_GINT64_CONSTANT(1000000000);
    return TRUE;
}
