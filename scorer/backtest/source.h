/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bytes of a recorded file, as flows in a form of ours: what is packed goes through its
 * unpacker, captures and IPFIX files through postern-collector, each a process of its own that
 * reads from the one before it. The first bytes tell what a file is, not its name. What nobody here
 * reads is named, with a way to read it. Thread: its owner's. */
#include "postern/error.h"

typedef struct Source Source;

/* @path "-" is stdin. @collector: what captures are read with, the collector's arguments without
 * the file, ended by NULL, borrowed for the call; NULL: no other program is run, and what would
 * need one is an error. Waits until the first bytes are there.
 * @error USAGE: it cannot be opened; IO; DATA: it is nothing that can be read here. Given. */
Source *source_open(const char *path, const char *const *collector, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Accepts NULL. Programs that still run lose their reader, and end. */
void source_close(Source *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Source, source_close)

/* As read(2); 0: the end. @error IO. */
gssize source_read(Source *source, void *out, gsize size, GError **error);

/* After the end: did the programs come to theirs? @error DATA: what came is not all. */
gboolean source_finish(Source *source, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* How far the file is read, bytes; of a pipe, what came out of it. */
guint64 source_position(const Source *source);
/* A collector shows how far it is. */
gboolean source_shows_itself(const Source *source);
/* For messages; borrowed. */
const char *source_name(const Source *source);
