/* SPDX-License-Identifier: Apache-2.0 */
#include "mail_compose.h"

#include <gmime/gmime.h>
#include <string.h>

#define ADDRESS_MAX 254 /* RFC 5321 §4.5.3.1.3: a path of 256 with its brackets */

static void prepare(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        g_mime_init();
        g_once_init_leave(&once, 1);
    }
}

/* Letters, digits and the marks of RFC 5322 atoms; what comes from a customer list must not speak
 * SMTP or MIME. Quoted local parts are valid but none of ours. */
gboolean pst_mail_is_address(const char *text)
{
    const char *at = strrchr(text, '@');
    if (at == NULL || at == text || at[1] == '\0' || strlen(text) > ADDRESS_MAX)
        return FALSE;
    for (const char *c = text; *c != '\0'; c++) {
        if (c == at)
            continue;
        if (!g_ascii_isalnum(*c) && strchr(c < at ? "!#$%&'*+-/=?^_`{|}~." : "-.", *c) == NULL)
            return FALSE;
    }
    return TRUE;
}

/* Exactly one mailbox, with or without a name; NULL otherwise. */
static InternetAddressList *addresses(const char *text)
{
    InternetAddressList *list = internet_address_list_parse(NULL, text);
    if (list != NULL && internet_address_list_length(list) == 1) {
        InternetAddress *one = internet_address_list_get_address(list, 0);
        if (INTERNET_ADDRESS_IS_MAILBOX(one) &&
            pst_mail_is_address(internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(one))))
            return list;
    }
    g_clear_object(&list);
    return NULL;
}

char *pst_mail_display_name(const char *from)
{
    prepare();
    g_autoptr(GObject) list = (GObject *)addresses(from);
    if (list == NULL)
        return g_strdup(from);
    InternetAddress *one = internet_address_list_get_address((InternetAddressList *)list, 0);
    const char *name = internet_address_get_name(one);
    if (name == NULL || *name == '\0')
        name = internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(one));
    return g_strdup(name);
}

static gboolean set_addresses(GMimeMessage *message, const PstMail *mail, GError **error)
{
    g_autoptr(GObject) from = (GObject *)addresses(mail->from);
    if (from == NULL) {
        g_set_error(
            error, PST_ERROR, PST_ERROR_USAGE,
            "setting mail.from \"%s\" is no mail address: write \"Name <user@example.net>\"",
            mail->from);
        return FALSE;
    }
    g_autoptr(GObject) to = pst_mail_is_address(mail->to) ? (GObject *)addresses(mail->to) : NULL;
    if (to == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_DATA, "contact \"%s\" is no mail address",
                    mail->to);
        return FALSE;
    }
    internet_address_set_charset(internet_address_list_get_address((InternetAddressList *)from, 0),
                                 "UTF-8");
    internet_address_list_append(g_mime_message_get_from(message), (InternetAddressList *)from);
    internet_address_list_append(g_mime_message_get_to(message), (InternetAddressList *)to);
    return TRUE;
}

static void set_headers(GMimeMessage *message, const PstMail *mail)
{
    GMimeObject *object = GMIME_OBJECT(message);
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(mail->date_ns / 1000000000);
    g_mime_message_set_date(message, date);
    g_autofree char *own_id = g_strdup_printf("<%s>", mail->message_id);
    g_mime_object_set_header(object, "Message-ID", own_id, NULL); /* GMime would write Message-Id */
    g_mime_message_set_subject(message, mail->subject, "UTF-8");
    g_mime_object_set_header(object, "Auto-Submitted", "auto-generated", NULL);
    g_mime_object_set_header(object, "X-Auto-Response-Suppress", "All", NULL);
    if (mail->references == NULL)
        return;
    g_autofree char *id = g_strdup_printf("<%s>", mail->references);
    g_mime_object_set_header(object, "In-Reply-To", id, NULL);
    g_mime_object_set_header(object, "References", id, NULL);
}

/* Not g_mime_text_part_set_text: that picks another character set for each text. */
static void add_part(GMimeMultipart *multipart, const char *subtype, const char *text)
{
    GMimeTextPart *part = g_mime_text_part_new_with_subtype(subtype);
    g_mime_text_part_set_charset(part, "utf-8");
    GMimeStream *stream = g_mime_stream_mem_new_with_buffer(text, strlen(text));
    GMimeDataWrapper *content =
        g_mime_data_wrapper_new_with_stream(stream, GMIME_CONTENT_ENCODING_DEFAULT);
    g_mime_part_set_content(GMIME_PART(part), content);
    g_mime_part_set_content_encoding(GMIME_PART(part), GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE);
    g_mime_multipart_add(multipart, GMIME_OBJECT(part));
    g_object_unref(content);
    g_object_unref(stream);
    g_object_unref(part);
}

/* The boundary comes from the Message-ID: a mail that is sent again is the same mail. */
static void set_body(GMimeMessage *message, const PstMail *mail)
{
    GMimeMultipart *multipart = g_mime_multipart_new_with_subtype("alternative");
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, mail->message_id, -1);
    g_autofree char *boundary = g_strdup_printf("=_%.40s", hash);
    g_mime_multipart_set_boundary(multipart, boundary);
    add_part(multipart, "plain", mail->text);
    add_part(multipart, "html", mail->html);
    g_mime_message_set_mime_part(message, GMIME_OBJECT(multipart));
    g_object_unref(multipart);
}

char *pst_mail_compose(const PstMail *mail, gsize *out_len, GError **error)
{
    prepare();
    g_autoptr(GObject) holder = (GObject *)g_mime_message_new(TRUE);
    GMimeMessage *message = GMIME_MESSAGE(holder);
    if (!set_addresses(message, mail, error))
        return NULL;
    set_headers(message, mail);
    set_body(message, mail);
    GMimeFormatOptions *format = g_mime_format_options_new();
    g_mime_format_options_set_newline_format(format, GMIME_NEWLINE_FORMAT_DOS);
    char *text = g_mime_object_to_string(GMIME_OBJECT(message), format);
    g_mime_format_options_free(format);
    *out_len = strlen(text);
    return text;
}
