/* SPDX-License-Identifier: Apache-2.0 */
#include "postern/verdict.h"

#include "postern/envelope.h"

const char *pst_band_name(PstBand band)
{
    static const char *const names[PST_BAND_COUNT] = {"watch", "flag", "block"};
    g_assert(band < PST_BAND_COUNT);
    return names[band];
}

const char *pst_waiting_fate_name(PstWaitingFate fate)
{
    static const char *const names[] = {"waiting", "learned", "false-positive", "confirmed",
                                        "dropped"};
    g_assert(fate < G_N_ELEMENTS(names));
    return names[fate];
}

void pst_verdict_clear(PstVerdict *verdict)
{
    for (guint i = 0; i < verdict->n_reasons; i++) {
        g_clear_pointer(&verdict->reasons[i].text, g_free);
        g_clear_pointer(&verdict->reasons[i].facts, g_free);
    }
    verdict->n_reasons = 0;
}

/* The values below come from numbers and from our own words; still, what would break a JSON string
 * is escaped. */
static void put_text(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            g_string_append_printf(out, "\\%c", *text);
        else if ((guchar)*text < 0x20)
            g_string_append_printf(out, "\\u%04x", (guint)(guchar)*text);
        else
            g_string_append_c(out, *text);
    }
    g_string_append_c(out, '"');
}

/* Up to @decimals places, without trailing zeros; whatever the locale. */
static void put_number(GString *out, double value, int decimals)
{
    char format[8], text[G_ASCII_DTOSTR_BUF_SIZE + 320];
    g_snprintf(format, sizeof format, "%%.%df", decimals);
    g_ascii_formatd(text, sizeof text, format, value);
    if (strchr(text, '.') != NULL) {
        char *end = text + strlen(text);
        while (end[-1] == '0')
            *--end = '\0';
        if (end[-1] == '.')
            end[-1] = '\0';
    }
    g_string_append(out, text);
}

static void put_key(GString *out, const char *key)
{
    if (out->len > 0 && out->str[out->len - 1] != '{' && out->str[out->len - 1] != '[')
        g_string_append_c(out, ',');
    g_string_append_printf(out, "\"%s\":", key);
}

static void put_integer(GString *out, const char *key, gint64 value)
{
    put_key(out, key);
    g_string_append_printf(out, "%" G_GINT64_FORMAT, value);
}

static void put_real(GString *out, const char *key, double value, int decimals)
{
    put_key(out, key);
    put_number(out, value, decimals);
}

static void put_string(GString *out, const char *key, const char *value)
{
    put_key(out, key);
    put_text(out, value);
}

static void put_boolean(GString *out, const char *key, gboolean value)
{
    put_key(out, key);
    g_string_append(out, value ? "true" : "false");
}

static void put_reasons(GString *out, const PstVerdict *verdict)
{
    g_string_append_c(out, '[');
    for (guint i = 0; i < verdict->n_reasons; i++) {
        const PstReason *reason = &verdict->reasons[i];
        g_string_append(out, i > 0 ? ",{" : "{");
        put_string(out, "name", reason->name);
        put_real(out, "points", reason->points, 1);
        put_string(out, "text", reason->text);
        if (reason->facts != NULL)
            g_string_append_printf(out, ",%s", reason->facts);
        g_string_append_c(out, '}');
    }
    g_string_append_c(out, ']');
}

static void put_samples(GString *out, const PstVerdict *verdict)
{
    char text[PST_ADDR_TEXT_MAX];
    g_string_append_c(out, '[');
    for (guint i = 0; i < verdict->n_samples; i++) {
        const PstSample *sample = &verdict->samples[i];
        g_string_append(out, i > 0 ? ",{" : "{");
        put_integer(out, "at_ns", sample->at_ns);
        put_string(out, "destination", pst_addr_format(&sample->destination, text));
        put_integer(out, "port", sample->port);
        put_integer(out, "src_port", sample->src_port);
        put_integer(out, "packets", (gint64)sample->packets);
        put_integer(out, "bytes", (gint64)sample->bytes);
        if (sample->has_flags)
            put_integer(out, "tcp_flags", sample->tcp_flags);
        g_string_append_c(out, '}');
    }
    g_string_append_c(out, ']');
}

static void put_lists(GString *out, const PstVerdict *verdict)
{
    char text[PST_ADDR_TEXT_MAX];
    put_key(out, "ports");
    g_string_append_c(out, '[');
    for (guint i = 0; i < G_N_ELEMENTS(verdict->ports) && verdict->ports[i] != 0; i++)
        g_string_append_printf(out, "%s%u", i > 0 ? "," : "", verdict->ports[i]);
    g_string_append_c(out, ']');
    put_key(out, "exporters");
    g_string_append_c(out, '[');
    for (guint i = 0; i < PST_VERDICT_EXPORTERS && pst_addr_present(&verdict->exporters[i]); i++) {
        if (i > 0)
            g_string_append_c(out, ',');
        put_text(out, pst_addr_format(&verdict->exporters[i], text));
    }
    g_string_append_c(out, ']');
    put_key(out, "reasons");
    put_reasons(out, verdict);
    put_key(out, "samples");
    put_samples(out, verdict);
}

char *pst_verdict_to_json(const PstVerdict *verdict)
{
    GString *out = g_string_new("{");
    char text[PST_PREFIX_TEXT_MAX];
    put_string(out, "unit", pst_prefix_format(&verdict->unit, text));
    put_string(out, "band", pst_band_name(verdict->band));
    put_integer(out, "time_ns", verdict->time_ns);
    put_real(out, "evidence", verdict->evidence, 3);
    put_integer(out, "score", verdict->score);
    put_real(out, "sessions_seen", verdict->sessions_seen, 0);
    put_real(out, "sessions_low", verdict->sessions_low, 1);
    put_real(out, "destinations_seen", verdict->destinations_seen, 0);
    put_real(out, "usual", verdict->usual, 6);
    put_integer(out, "window_s", verdict->window_s);
    put_string(out, "channel", (const char[]){verdict->channel, '\0'});
    put_string(out, "pair", verdict->pair == PST_PAIR_SMTP ? "smtp" : "submission");
    put_integer(out, "failed", verdict->failed);
    put_real(out, "sampling", verdict->sampling, 3);
    put_boolean(out, "cold", verdict->cold);
    put_boolean(out, "ended", verdict->ended);
    put_integer(out, "episode_ns", verdict->episode_ns);
    put_integer(out, "first_ns", verdict->first_ns);
    put_integer(out, "last_ns", verdict->last_ns);
    put_integer(out, "received_ns", verdict->received_ns);
    put_integer(out, "partition", verdict->partition);
    put_integer(out, "position", verdict->position);
    put_string(out, "model", PST_MODEL);
    put_lists(out, verdict);
    g_string_append_c(out, '}');
    return g_string_free(out, FALSE);
}

char *pst_verdict_reasons_json(const PstVerdict *verdict)
{
    GString *out = g_string_new(NULL);
    put_reasons(out, verdict);
    return g_string_free(out, FALSE);
}

char *pst_verdict_samples_json(const PstVerdict *verdict)
{
    GString *out = g_string_new(NULL);
    put_samples(out, verdict);
    return g_string_free(out, FALSE);
}
