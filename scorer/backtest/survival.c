/* SPDX-License-Identifier: Apache-2.0 */
#include "survival.h"

#include <math.h>

#define DAY_S 86400

/* The drawing, in its own units. */
enum { WIDTH = 820, HEIGHT = 520, LEFT = 88, RIGHT = 800, TOP = 64, BOTTOM = 440, DECADES = 10 };

struct Survival {
    GHashTable *newest; /* PstUnit → UnitDay; owned */
    guint64 days;
};

typedef struct {
    PstUnit unit;
    gint64 day;
} UnitDay;

Survival *survival_new(void)
{
    Survival *survival = g_new0(Survival, 1);
    survival->newest =
        g_hash_table_new_full(pst_prefix_key_hash, pst_prefix_key_equal, NULL, g_free);
    return survival;
}

void survival_free(Survival *survival)
{
    if (survival == NULL)
        return;
    g_hash_table_unref(survival->newest);
    g_free(survival);
}

void survival_note(Survival *survival, const GArray *activity)
{
    for (guint i = 0; i < activity->len; i++) {
        const PstActivity *row = &g_array_index(activity, PstActivity, i);
        gint64 day = row->bucket_s / DAY_S;
        UnitDay *newest = g_hash_table_lookup(survival->newest, &row->unit);
        if (newest == NULL) {
            newest = g_new0(UnitDay, 1);
            newest->unit = row->unit;
            g_hash_table_insert(survival->newest, &newest->unit, newest);
        }
        survival->days += day > newest->day;
        newest->day = MAX(newest->day, day);
    }
}

guint64 survival_count(const Survival *survival, const Peaks *peaks,
                       guint64 reached[SURVIVAL_STEPS])
{
    g_autoptr(GArray) all = peaks_all(peaks);
    for (guint step = 0; step < SURVIVAL_STEPS; step++)
        reached[step] = 0;
    for (guint i = 0; i < all->len; i++) {
        guint step = (guint)(g_array_index(all, Peaked, i).evidence / PEAKS_STEP);
        reached[MIN(step, SURVIVAL_STEPS - 1)]++;
    }
    for (guint step = SURVIVAL_STEPS - 1; step > 0; step--)
        reached[step - 1] += reached[step];
    return MAX(survival->days, reached[0]);
}

void survival_slack(guint64 count, double *out_low, double *out_high)
{
    double n = (double)count, up = n + 1;
    double low = 1 - 1 / (9 * MAX(n, 1)) - 1.96 / (3 * sqrt(MAX(n, 1)));
    double high = 1 - 1 / (9 * up) + 1.96 / (3 * sqrt(up));
    *out_low = count > 0 ? n * low * low * low : 0;
    *out_high = up * high * high * high;
}

/* --- the drawing --------------------------------------------------------------------------- */

static double x_of(double evidence)
{
    return LEFT + (RIGHT - LEFT) * evidence / 1000;
}

static double y_of(double share)
{
    double decades = share > 0 ? -log10(share) : DECADES;
    return TOP + (BOTTOM - TOP) * CLAMP(decades, 0, DECADES) / DECADES;
}

static void text(GString *out, double x, double y, const char *anchor, const char *more,
                 const char *words)
{
    g_autofree char *escaped = g_markup_escape_text(words, -1);
    g_string_append_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x,
                           y, anchor, more, escaped);
}

static void line(GString *out, double x1, double y1, double x2, double y2, const char *class)
{
    g_string_append_printf(out,
                           "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n",
                           x1, y1, x2, y2, class);
}

static void draw_axes(GString *out)
{
    static const char *const powers[] = {"1", "10⁻²", "10⁻⁴", "10⁻⁶", "10⁻⁸", "10⁻¹⁰"};
    for (guint i = 0; i < G_N_ELEMENTS(powers); i++) {
        double y = y_of(pow(100, -(double)i));
        line(out, LEFT, y, RIGHT, y, "grid");
        text(out, LEFT - 8, y + 4, "end", "", powers[i]);
    }
    for (guint evidence = 0; evidence <= 1000; evidence += 100) {
        char words[32];
        g_snprintf(words, sizeof words, "%u", evidence);
        line(out, x_of(evidence), TOP, x_of(evidence), BOTTOM, "grid");
        text(out, x_of(evidence), BOTTOM + 18, "middle", "", words);
    }
    static const struct {
        guint evidence;
        const char *name;
    } bands[] = {{300, "watch"}, {600, "flag"}, {900, "block"}};
    for (guint i = 0; i < G_N_ELEMENTS(bands); i++)
        text(out, x_of(bands[i].evidence), TOP - 8, "middle", " class=\"quiet\"", bands[i].name);
    text(out, (LEFT + RIGHT) / 2.0, BOTTOM + 40, "middle", "", "highest evidence of the day");
    text(out, 0, 0, "middle", " transform=\"translate(22 252) rotate(-90)\"",
         "share of unit-days that reached it");
}

/* Steps where the count changes; what nobody reached is not drawn. */
static void draw_curve(GString *out, const guint64 reached[SURVIVAL_STEPS], guint64 days)
{
    g_autoptr(GString) curve = g_string_new(NULL), upper = g_string_new(NULL);
    g_autoptr(GString) lower = g_string_new(NULL);
    for (guint step = 1; step < SURVIVAL_STEPS && reached[step] > 0; step++) {
        double low, high, x = x_of(step * PEAKS_STEP);
        survival_slack(reached[step], &low, &high);
        g_string_append_printf(curve, "%.1f,%.1f ", x, y_of((double)reached[step] / (double)days));
        g_string_append_printf(upper, "%.1f,%.1f ", x, y_of(high / (double)days));
        g_autofree char *point = g_strdup_printf("%.1f,%.1f ", x, y_of(low / (double)days));
        g_string_prepend(lower, point);
    }
    g_string_append_printf(out, "<polygon points=\"%s%s\" class=\"slack\"/>\n", upper->str,
                           lower->str);
    g_string_append_printf(out, "<polyline points=\"%s\" class=\"curve\"/>\n", curve->str);
}

static char *svg_of(const Survival *survival, const Peaks *peaks)
{
    guint64 reached[SURVIVAL_STEPS];
    guint64 days = survival_count(survival, peaks, reached);
    char words[160];
    GString *out = g_string_new(NULL);
    g_string_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
        "height=\"%d\">\n"
        "<title>Survival of daily maximum evidence</title>\n"
        "<style>text{font:13px sans-serif;fill:#222}.quiet{fill:#666}.head{font-weight:bold;"
        "font-size:15px}.grid{stroke:#ddd}.promise{stroke:#b3261e;stroke-width:2;"
        "stroke-dasharray:7 4}.curve{stroke:#0b57a4;stroke-width:2.5;fill:none}"
        ".slack{fill:#0b57a4;opacity:.18}</style>\n"
        "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    text(out, LEFT, 28, "start", " class=\"head\"", "Daily maximum evidence, and what is promised");
    draw_axes(out);
    line(out, x_of(0), y_of(1), x_of(1000), y_of(1e-10), "promise");
    if (days > 0)
        draw_curve(out, reached, days);
    line(out, 104, 402, 134, 402, "promise");
    text(out, 142, 406, "start", "", "promised for days within what is allowed");
    line(out, 104, 424, 134, 424, "curve");
    g_snprintf(words, sizeof words, "seen on %" G_GUINT64_FORMAT " %s of addresses with mail", days,
               days == 1 ? "day" : "days");
    text(out, 142, 428, "start", "", words);
    text(out, LEFT, HEIGHT - 14, "start", " class=\"quiet\"",
         "Above the line: spam, or mail beyond what was learned. Shaded: 95 % slack of the count.");
    g_string_append(out, "</svg>\n");
    return g_string_free(out, FALSE);
}

gboolean survival_draw(const Survival *survival, const Peaks *peaks, const char *path,
                       GError **error)
{
    g_autofree char *svg = svg_of(survival, peaks);
    g_autoptr(GError) why = NULL;
    if (g_file_set_contents(path, svg, -1, &why))
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s", why->message);
    return FALSE;
}
