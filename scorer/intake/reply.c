/* SPDX-License-Identifier: Apache-2.0 */
#include "reply.h"

#include "answer.h"
#include "fields.h"

enum {
    BODY_MAX = 64 * 1024, /* bytes of the text that are read */
};

/* Nobody writes to an envelope address but programs, so what arrives there is an answer, too. */
gboolean reply_recognise(const Report *report)
{
    g_autofree char *reference = answer_reference(report);
    g_autofree char *number = answer_case(report);
    g_autofree char *recipient = answer_recipient(report);
    return reference != NULL || number != NULL || recipient != NULL;
}

/* --- what was said, without what it quotes
 * --------------------------------------------------------------------------------------- */

/* From here on the mail is a signature or a copy of ours. */
static gboolean ends_speech(Text line)
{
    static const char *const marks[] = {"-----Original Message", "----- Original Message",
                                        "-----Urspr", "________________________________"};
    if (text_equal(line, "--") || text_equal(line, "-- "))
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(marks); i++)
        if (text_starts(line, marks[i]))
            return TRUE;
    return FALSE;
}

/* Marks are dropped, words stay; what stands in <style> and <script> is no words. */
static GString *without_marks(Text html)
{
    static const char *const mute[][2] = {{"<style", "</style"}, {"<script", "</script"}};
    GString *out = g_string_new(NULL);
    while (html.len > 0) {
        gssize open = text_find_char(html, '<');
        gsize words = open < 0 ? html.len : (gsize)open;
        g_string_append_len(out, html.at, (gssize)words);
        html = text_after(html, words);
        for (gsize i = 0; i < G_N_ELEMENTS(mute); i++)
            if (text_starts(html, mute[i][0])) {
                gssize end = text_find(html, mute[i][1]);
                html = text_after(html, end < 0 ? html.len : (gsize)end);
            }
        gssize close = text_find_char(html, '>');
        if (text_starts(html, "<br") || text_starts(html, "</p") || text_starts(html, "</div"))
            g_string_append_c(out, '\n');
        html = text_after(html, close < 0 ? html.len : (gsize)close + 1);
    }
    return out;
}

static char *speech_of(Text body)
{
    g_autoptr(GString) out = g_string_new(NULL);
    Text line;
    while (text_next_line(&body, &line) && !ends_speech(line)) {
        if (text_starts(text_trim(line), ">"))
            continue;
        gsize room = PST_EVIDENCE_SAID_MAX - MIN(out->len + 1, PST_EVIDENCE_SAID_MAX);
        g_autofree char *clean = room > 0 ? text_clean(line, room) : NULL;
        if (clean != NULL)
            g_string_append_printf(out, "%s%s", out->len > 0 ? "\n" : "", clean);
    }
    return out->len > 0 ? g_string_free(g_steal_pointer(&out), FALSE) : NULL;
}

static char *read_speech(const Report *report)
{
    int plain = mime_find(report->mime, "text/plain", -1);
    int html = mime_find(report->mime, "text/html", -1);
    int chosen = plain >= 0 ? plain : html;
    if (chosen < 0)
        return NULL;
    g_autoptr(GString) body = mime_decode(mime_part(report->mime, (guint)chosen), BODY_MAX);
    Text words = text(body->str, body->len);
    if (plain >= 0)
        return speech_of(words);
    g_autoptr(GString) shown = without_marks(words);
    return speech_of(text(shown->str, shown->len));
}

const char *reply_read(const Report *report, PstEvidence *evidence, GPtrArray *more)
{
    evidence->outcome = PST_EVIDENCE_NOT_A_COMPLAINT;
    evidence->mail_token = answer_reference(report);
    evidence->case_ref = answer_case(report);
    if (answer_is_automatic(report) || (evidence->mail_token == NULL && evidence->case_ref == NULL))
        return NULL;
    evidence->sender =
        mime_decode_words(fields_value(report_header(report), "From"), PST_EVIDENCE_TEXT_MAX);
    evidence->said = read_speech(report);
    if (evidence->said == NULL)
        evidence->said = g_strdup("(a reply without text)");
    return NULL;
}
