/* SPDX-License-Identifier: Apache-2.0 */
#include "drop.h"

static const struct {
    const char *name;
    PstLoss loss;
    const char *text;
} drop_rows[DROP_COUNT] = {[DROP_NONE] = {"", PST_LOSS_MALFORMED, ""},
#define DROP_ROW(identifier, name, loss, text) [DROP_##identifier] = {name, loss, text},
                           DROP_REASONS(DROP_ROW)
#undef DROP_ROW
};

const char *drop_name(Drop drop)
{
    g_assert(drop < DROP_COUNT);
    return drop_rows[drop].name;
}

const char *drop_text(Drop drop)
{
    g_assert(drop < DROP_COUNT);
    return drop_rows[drop].text;
}

PstLoss drop_loss(Drop drop)
{
    g_assert(drop < DROP_COUNT);
    return drop_rows[drop].loss;
}
