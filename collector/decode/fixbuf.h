/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The only door to libfixbuf: the second opinion on what a data record says.
 *
 * Copy plans do the work; libfixbuf is the authority that they are held against: by tests over the
 * whole corpus and by the fuzz target, and in operation where `verify` is set. It reads a message
 * of our own making (one template, one data set) through an fBuf in memory and fills a Record from
 * what it decoded, element by element.
 * Nothing hostile reaches it but values: it gets checked templates only, in which every element
 * that we do not understand is padding of the same length, so that its information model does not
 * grow. Its warnings go through g_log to our log, limited and counted.
 * Thread: its owner's.
 */
#include "record.h"
#include "template.h"

typedef struct Fixbuf Fixbuf;

Fixbuf *fixbuf_new(void);
void fixbuf_free(Fixbuf *fixbuf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixbuf, fixbuf_free)

typedef void (*FixbufRecord)(gpointer user, const Record *record);

/* Decodes one data set of @template; @visit gets each record in order. Returns FALSE if libfixbuf
 * will not read it (@visit was then called for the records before the fault). */
gboolean fixbuf_decode(Fixbuf *fixbuf, const Template *template, const guint8 *set, gsize len,
                       FixbufRecord visit, gpointer user);

/* How many records of a data set libfixbuf and the plan decode to different flows. A set that
 * libfixbuf will not read counts nothing. */
guint fixbuf_differences(Fixbuf *fixbuf, const Template *template, const guint8 *set, gsize len);
/* Records that were held against one another so far. */
guint64 fixbuf_compared(const Fixbuf *fixbuf);
