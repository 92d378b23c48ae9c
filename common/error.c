/* SPDX-License-Identifier: Apache-2.0 */
#include "postern/error.h"

GQuark pst_error_quark(void)
{
    return g_quark_from_static_string("pst-error-quark");
}

PstErrorClass pst_error_class(const GError *error)
{
    if (error == NULL || error->domain != PST_ERROR)
        return PST_ERROR_CLASS_TRANSIENT;
    static const PstErrorClass classes[] = {
        [PST_ERROR_USAGE] = PST_ERROR_CLASS_CONFIG,   [PST_ERROR_IO] = PST_ERROR_CLASS_TRANSIENT,
        [PST_ERROR_AWAY] = PST_ERROR_CLASS_TRANSIENT, [PST_ERROR_FULL] = PST_ERROR_CLASS_TRANSIENT,
        [PST_ERROR_FENCED] = PST_ERROR_CLASS_DATA,    [PST_ERROR_CORRUPT] = PST_ERROR_CLASS_DATA,
        [PST_ERROR_DATA] = PST_ERROR_CLASS_DATA,      [PST_ERROR_REFUSED] = PST_ERROR_CLASS_DATA,
        [PST_ERROR_NOT_FOUND] = PST_ERROR_CLASS_DATA,
    };
    g_assert(error->code >= 0 && (gsize)error->code < G_N_ELEMENTS(classes));
    return classes[error->code];
}

int pst_error_exit_status(const GError *error)
{
    return pst_error_class(error) == PST_ERROR_CLASS_CONFIG ? PST_EXIT_USAGE : PST_EXIT_FAILED;
}
