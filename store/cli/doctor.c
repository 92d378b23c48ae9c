/* SPDX-License-Identifier: Apache-2.0 */
/* What a check found, said in lines. */
#include "doctor.h"

static void print_line(const Doctor *doctor, const char *sign, const char *what, const char *text,
                       const char *remedy)
{
    if (doctor->quiet)
        return;
    printf("%-6s %-10s %s\n", sign, what, text);
    if (remedy != NULL)
        printf("%-17s → %s\n", "", remedy);
}

void doctor_ok(Doctor *doctor, const char *what, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    print_line(doctor, "ok", what, text, NULL);
}

void doctor_wrong(Doctor *doctor, const char *what, const char *remedy, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    doctor->wrong++;
    print_line(doctor, "WRONG", what, text, remedy);
}
