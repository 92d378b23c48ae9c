/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <string.h>

#include "postern/error.h"

/* Shares of a day by hour; made cumulative when the scene is loaded. */
static const struct {
    const char *name;
    double hour[HOURS];
} clocks[] = {
    {"flat", {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {"office", {1, 1, 1, 1, 1, 2, 4, 9, 14, 16, 15, 14, 12, 14, 15, 14, 12, 8, 5, 4, 3, 2, 2, 1}},
    {"evening", {3, 2, 1, 1, 1, 1, 2, 4, 5, 6, 6, 6, 7, 7, 7, 7, 8, 9, 11, 13, 14, 13, 9, 5}},
};

static const char *const to_names[TO_KINDS] = {
    [TO_PROVIDERS] = "providers", [TO_FIVE] = "five",   [TO_CIRCLE] = "circle",
    [TO_LIST] = "list",           [TO_FIXED] = "fixed", [TO_ONE] = "one",
    [TO_STRANGERS] = "strangers",
};

/* What is being read, for words about what is wrong with it. */
typedef struct {
    const char *path;
    GKeyFile *file;
    const char *group;
    GHashTable *read; /* keys of the group that have a meaning */
    GError **error;   /* set: the first trouble */
    gboolean failed;
} Reader;

static void complain(Reader *r, const char *key, const char *what)
{
    if (!r->failed)
        g_set_error(r->error, PST_ERROR, PST_ERROR_USAGE, "%s, [%s] %s: %s", r->path, r->group, key,
                    what);
    r->failed = TRUE;
}

/* The key's text, or @otherwise. Given. */
static char *text_of(Reader *r, const char *key, const char *otherwise)
{
    g_hash_table_add(r->read, g_strdup(key));
    char *text = g_key_file_get_string(r->file, r->group, key, NULL);
    return text != NULL ? text : g_strdup(otherwise);
}

static double number_of(Reader *r, const char *key, double otherwise, double least, double most)
{
    g_autofree char *text = text_of(r, key, NULL);
    if (text == NULL)
        return otherwise;
    char *end;
    double value = g_ascii_strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most))
        complain(r, key, "a number is wanted, or it is out of its range");
    return value;
}

static gboolean yes_no(Reader *r, const char *key)
{
    g_autofree char *text = text_of(r, key, "no");
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        complain(r, key, "yes or no is wanted");
    return strcmp(text, "yes") == 0;
}

static Amount amount_of(Reader *r, const char *key, const char *otherwise)
{
    g_autofree char *text = text_of(r, key, otherwise);
    Amount amount = {0};
    if (!amount_parse(text, &amount))
        complain(r, key, "an amount is wanted: MEDIAN [~SPREAD] [>LEAST] [<MOST]");
    return amount;
}

/* Place of the key's text among @names. */
static guint choice_of(Reader *r, const char *key, const char *const *names, const char *otherwise)
{
    g_autofree char *text = text_of(r, key, otherwise);
    for (guint i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], text) == 0)
            return i;
    complain(r, key, "no such word is known here");
    return 0;
}

static const double *clock_of(Reader *r)
{
    static double cumulative[G_N_ELEMENTS(clocks)][HOURS + 1]; /* the same at every reading */
    const char *names[G_N_ELEMENTS(clocks) + 1] = {NULL};
    for (guint i = 0; i < G_N_ELEMENTS(clocks); i++)
        names[i] = clocks[i].name;
    guint at = choice_of(r, "clock", names, "flat");
    double sum = 0, so_far = 0;
    for (guint h = 0; h < HOURS; h++)
        sum += clocks[at].hour[h];
    for (guint h = 0; h < HOURS; h++)
        cumulative[at][h + 1] = (so_far += clocks[at].hour[h]) / sum;
    cumulative[at][HOURS] = 1;
    return cumulative[at];
}

/* "circle(150) 30": a name, a size where it has one, a weight. */
static gboolean read_to(const char *text, To *out)
{
    g_autoptr(GRegex) form =
        g_regex_new("^\\s*([a-z]+)(?:\\((\\d{1,7})\\))?\\s+(\\d+(?:\\.\\d+)?)\\s*$", 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    if (!g_regex_match(form, text, 0, &match))
        return FALSE;
    g_autofree char *name = g_match_info_fetch(match, 1), *n = g_match_info_fetch(match, 2),
                    *share = g_match_info_fetch(match, 3);
    *out = (To){.kind = TO_KINDS,
                .n = (guint32)g_ascii_strtoull(n, NULL, 10),
                .share = g_ascii_strtod(share, NULL)};
    for (guint i = 0; i < TO_KINDS; i++)
        if (strcmp(name, to_names[i]) == 0)
            out->kind = (ToKind)i;
    gboolean sized = out->kind == TO_CIRCLE || out->kind == TO_LIST || out->kind == TO_FIXED;
    return out->kind < TO_KINDS && sized == (out->n > 0) && out->share > 0;
}

static void destinations_of(Reader *r, Part *part)
{
    g_autofree char *text = text_of(r, "to", "strangers 1");
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    double sum = 0;
    for (guint i = 0; items[i] != NULL && !r->failed; i++) {
        if (part->n_to == CHOICES_MAX || !read_to(items[i], &part->to[part->n_to])) {
            complain(r, "to",
                     "wanted are up to six of \"providers W, five W, circle(N) W, list(N) "
                     "W, fixed(N) W, one W, strangers W\"");
            return;
        }
        part->to[part->n_to].share = sum += part->to[part->n_to].share;
        part->n_to++;
    }
    for (guint i = 0; i < part->n_to; i++)
        part->to[i].share = i + 1 == part->n_to ? 1 : part->to[i].share / sum;
}

static void ports_of(Reader *r, Part *part)
{
    g_autofree char *text = text_of(r, "port", "25 1");
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    double sum = 0;
    for (guint i = 0; items[i] != NULL; i++) {
        char *weight, *end;
        guint64 port = g_ascii_strtoull(g_strstrip(items[i]), &weight, 10);
        double share = g_ascii_strtod(weight, &end);
        if (part->n_ports == CHOICES_MAX || port == 0 || port > G_MAXUINT16 || weight == end ||
            *end != '\0' || !(share > 0)) {
            complain(r, "port", "wanted are up to six of \"PORT WEIGHT\"");
            return;
        }
        part->port[part->n_ports++] = (PortShare){.port = (guint16)port, .share = sum += share};
    }
    for (guint i = 0; i < part->n_ports; i++)
        part->port[i].share = i + 1 == part->n_ports ? 1 : part->port[i].share / sum;
}

/* Sessions draw from tables of draws, which are the same whatever else is drawn. */
static void make_tables(Reader *r, Part *part)
{
    Amount packets = amount_of(r, "packets", "14 ~1.4 >6 <4000");
    Amount seconds = amount_of(r, "seconds", "2 ~2.5 >0.05 <600");
    Luck luck;
    luck_seed(&luck, 1, g_str_hash(r->group), 0, 0);
    for (guint i = 0; i < TABLE; i++) {
        part->packets[i] = (guint16)CLAMP(amount_draw(&packets, &luck) + 0.5, 1, 60000);
        part->seconds_ms[i] = (guint32)CLAMP(amount_draw(&seconds, &luck) * 1000, 1, 1e8);
    }
}

static void check_keys(Reader *r)
{
    g_auto(GStrv) keys = g_key_file_get_keys(r->file, r->group, NULL, NULL);
    for (guint i = 0; keys != NULL && keys[i] != NULL; i++)
        if (!g_hash_table_contains(r->read, keys[i]))
            complain(r, keys[i], "there is no such key");
    g_hash_table_remove_all(r->read);
}

static Part *part_of(Reader *r, const char *name)
{
    static const char *const whens[] = {"any", "daily", "weekly", "monthly", "once", NULL};
    Part *part = g_new0(Part, 1);
    part->name = g_strdup(name);
    part->when = (When)choice_of(r, "when", whens, "any");
    part->clock = clock_of(r);
    part->per_day = amount_of(r, "per_day", "1");
    part->scale = amount_of(r, "scale", "1");
    part->size = amount_of(r, "size", "1");
    part->rate = amount_of(r, "rate", "1");
    part->swing = luck_log(number_of(r, "swing", 1.3, 1, 100));
    part->weekend = number_of(r, "weekend", 1, 0, 10);
    part->growth = number_of(r, "growth", 0, 1, 100);
    part->growth_from = number_of(r, "growth_from", 5, 0.001, 1e6);
    part->failed = number_of(r, "failed", 0.02, 0, 1);
    part->again = number_of(r, "again", 0, 0, 0.9);
    part->inbound = number_of(r, "inbound", 0, 0, 10);
    part->even = yes_no(r, "even");
    part->event = yes_no(r, "event");
    part->rotate = yes_no(r, "rotate");
    part->hosts = (guint32)number_of(r, "hosts", 1, 1, 256);
    destinations_of(r, part);
    ports_of(r, part);
    make_tables(r, part);
    check_keys(r);
    return part;
}

static void class_of(Reader *r, Class *out)
{
    static const char *const kinds[] = {"legitimate", "spam", NULL};
    out->name = g_strdup(r->group);
    out->about = text_of(r, "about", "");
    out->on_name = text_of(r, "on", NULL);
    out->units = number_of(r, "units", 0, 0, 1e6);
    out->spam = choice_of(r, "kind", kinds, "legitimate") == 1;
    out->hard = yes_no(r, "hard");
    out->once = yes_no(r, "first_list");
    out->fresh = yes_no(r, "new");
    out->v6 = yes_no(r, "ipv6");
    out->on = -1;
    check_keys(r);
}

static void part_free(Part *part)
{
    g_free(part->name);
    g_free(part);
}

static void class_clear(gpointer data)
{
    Class *class = data;
    for (guint i = 0; i < class->n_parts; i++)
        part_free(class->part[i]);
    g_free(class->name);
    g_free(class->about);
    g_free(class->on_name);
}

void scene_free(Scene *scene)
{
    if (scene == NULL)
        return;
    g_array_unref(scene->classes);
    g_free(scene);
}

const Class *scene_class(const Scene *scene, guint i)
{
    return &g_array_index(scene->classes, Class, i);
}

gint scene_find(const Scene *scene, const char *name)
{
    for (guint i = 0; i < scene->classes->len; i++)
        if (strcmp(scene_class(scene, i)->name, name) == 0)
            return (gint)i;
    return -1;
}

/* "[web-host]" makes a class, "[web-host mail]" a part of it. */
static void read_group(Reader *r, Scene *scene)
{
    const char *space = strchr(r->group, ' ');
    if (space == NULL) {
        Class class = {0};
        class_of(r, &class);
        g_array_append_val(scene->classes, class);
        return;
    }
    g_autofree char *name = g_strndup(r->group, (gsize)(space - r->group));
    gint at = scene_find(scene, name);
    Class *class = at >= 0 ? &g_array_index(scene->classes, Class, at) : NULL;
    if (class == NULL || class->n_parts == PARTS_MAX)
        complain(r, "", class == NULL ? "its class does not stand before it" : "too many parts");
    else
        class->part[class->n_parts++] = part_of(r, space + 1);
}

static void find_hosts(Reader *r, Scene *scene)
{
    for (guint i = 0; i < scene->classes->len; i++) {
        Class *class = &g_array_index(scene->classes, Class, i);
        r->group = class->name;
        if (class->on_name != NULL && (class->on = scene_find(scene, class->on_name)) < 0)
            complain(r, "on", "there is no such class");
        else if (class->on >= 0 &&
                 scene_class(scene, (guint) class->on)->n_parts + class->n_parts > PARTS_MAX)
            complain(r, "on", "too many parts together");
    }
}

Scene *scene_load(const char *path, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(Scene) scene = g_new0(Scene, 1);
    scene->classes = g_array_new(FALSE, TRUE, sizeof(Class));
    g_array_set_clear_func(scene->classes, class_clear);
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, error)) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    g_autoptr(GHashTable) read = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Reader r = {.path = path, .file = file, .read = read, .error = error};
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    for (guint i = 0; groups[i] != NULL && !r.failed; i++) {
        r.group = groups[i];
        read_group(&r, scene);
    }
    if (!r.failed)
        find_hosts(&r, scene);
    return r.failed ? NULL : g_steal_pointer(&scene);
}
