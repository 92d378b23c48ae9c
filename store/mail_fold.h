/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Folding the text of a mail: values are longer than the names that stood for them.
 *
 * A paragraph with a line longer than PST_MAIL_FOLD_AT characters is filled anew; all others stay
 * as the template has them. A paragraph ends at an empty line, at the next "* " or "1. ", at a
 * heading (a line above one of dashes), and at a line with two blanks in a row, which is a table
 * and stays; "  Label:   value" goes on under its value. Words longer than a line stay whole. Of
 * several empty lines, which sections that say nothing leave behind, one stays.
 */
#include <glib.h>

#define PST_MAIL_FOLD_AT 76 /* RFC 5322 §2.1.1 asks for 78 at most */

/* @text UTF-8 with LF. Given. */
char *pst_mail_fold(const char *text);
