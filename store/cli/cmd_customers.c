/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"
#include "csv.h"

#define CHUNK     2000
#define SHOWN_MAX 200

typedef struct {
    gboolean force, yes, dry_run, allow_wide;
} Options;

/* In the order of import_row's columns. */
static const PstCsvColumn columns[] = {{"net", TRUE},     {"customer", TRUE},  {"name", FALSE},
                                       {"type", FALSE},   {"service", FALSE},  {"unit_len", FALSE},
                                       {"shared", FALSE}, {"contacts", FALSE}, {"locale", FALSE},
                                       {"tz", FALSE},     {NULL, FALSE}};
#define N_COLUMNS (G_N_ELEMENTS(columns) - 1)

static const char description[] =
    "import FILE.csv   brings customers, addresses and contacts to what the file says. The file\n"
    "                  holds everybody: who is not in it is removed.\n"
    "\n"
    "The first line names the columns, in any order:\n"
    "  net        192.0.2.16/28 or 2001:db8:1::/48; nested nets are allowed, the smallest wins\n"
    "  customer   your customer number\n"
    "  name, type (dedicated, vps, …), service   for people and mails\n"
    "  unit_len   IPv6 only: what is judged as one, 48 to 64; empty: 64\n"
    "  shared     yes: many users behind one address; never frozen\n"
    "  contacts   security:a@example.net abuse:b@example.net owner:c@example.net\n"
    "  locale, tz   language (en, de) and time zone (Europe/Berlin) of mails\n"
    "Only net and customer must be there. Lines that begin with # are skipped.\n"
    "\n"
    "It shows the difference first and asks (--yes does not; --dry-run ends there). Nothing\n"
    "partial: a bad line is named and nothing is changed. More than 10 % of the addresses removed\n"
    "is refused without --force (setting import.max_removed_percent). A net wider than one of our\n"
    "networks is refused without --allow-wide: all in it that has no nearer owner would be that\n"
    "customer's. The same file again changes nothing. Imports wait for one another; who was asked\n"
    "about a difference that is no longer the one is told so, and nothing is changed.\n"
    "\n"
    "Example:\n"
    "  postern customers import customers.csv --database …\n"
    "\n"
    "Exit status: 0 done, 1 failed, refused or not confirmed, 2 usage.";

/* ---- reading ---- */

typedef struct {
    PstPgArray fields[N_COLUMNS];
    PstPgArray lines;
    guint n;
} Chunk;

static void chunk_init(Chunk *chunk)
{
    for (gsize i = 0; i < N_COLUMNS; i++)
        chunk->fields[i] = pst_pg_array();
    chunk->lines = pst_pg_array();
    chunk->n = 0;
}

static void chunk_clear(Chunk *chunk)
{
    for (gsize i = 0; i < N_COLUMNS; i++)
        pst_pg_array_clear(&chunk->fields[i]);
    pst_pg_array_clear(&chunk->lines);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Chunk, chunk_clear)

static gboolean write_chunk(PstPg *pg, Chunk *chunk, GError **error)
{
    if (chunk->n == 0)
        return TRUE;
    g_auto(PstPgParams) p = pst_pg_params();
    for (gsize i = 0; i < N_COLUMNS; i++)
        pst_pg_add_array(&p, &chunk->fields[i]);
    pst_pg_add_array(&p, &chunk->lines);
    chunk->n = 0;
    return pst_pg_run(
        pg,
        "INSERT INTO pg_temp.import_row (net, customer, name, type, service, unit_len, shared,"
        " contacts, locale, tz, line)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],"
        " $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::int[])",
        &p, NULL, error);
}

/* The file being read, and what its nets are measured by. */
typedef struct {
    const char *file;
    PstCsv *csv;         /* borrowed */
    GArray *our;         /* of PstPrefix, our networks (given); NULL: any width will do */
    guint8 narrowest[7]; /* by family: the length of the narrowest of them */
} Reader;

static gboolean learn_networks(PstPg *pg, Reader *reader, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT net FROM postern.networks_in_force", NULL, error);
    if (rows == NULL)
        return FALSE;
    reader->our = g_array_new(FALSE, FALSE, sizeof(PstPrefix));
    for (int i = 0; i < pst_pg_count(rows); i++) {
        PstPrefix net;
        if (!pst_pg_prefix(rows, i, 0, &net))
            continue;
        g_array_append_val(reader->our, net);
        guint8 *narrowest = &reader->narrowest[net.addr.family];
        *narrowest = MAX(*narrowest, net.len);
    }
    return TRUE;
}

static gboolean prefix_within(const PstPrefix *inner, const PstPrefix *outer)
{
    return inner->len >= outer->len && pst_prefix_contains(outer, &inner->addr);
}

/* One of our networks that @net holds and goes beyond; NULL: none, or it lies in another one. */
static const PstPrefix *network_inside(const Reader *reader, const PstPrefix *net)
{
    const PstPrefix *found = NULL;
    if (net->len >= reader->narrowest[net->addr.family])
        return NULL;
    for (guint i = 0; i < reader->our->len; i++) {
        const PstPrefix *ours = &g_array_index(reader->our, PstPrefix, i);
        if (prefix_within(net, ours))
            return NULL;
        if (prefix_within(ours, net))
            found = ours;
    }
    return found;
}

static gboolean check_width(const Reader *reader, const PstPrefix *net, GError **error)
{
    if (reader->our == NULL)
        return TRUE;
    char text[PST_PREFIX_TEXT_MAX], network[PST_PREFIX_TEXT_MAX];
    guint8 widest = cli_too_wide(net);
    const PstPrefix *inside = network_inside(reader, net);
    if (widest == 0 && inside == NULL)
        return TRUE;
    g_autofree char *limit =
        inside != NULL ? g_strdup_printf("our network %s", pst_prefix_format(inside, network))
                       : g_strdup_printf("/%u", widest);
    g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                "%s:%u: net %s is wider than %s: every address in it without a nearer owner would "
                "be customer %.60s's. If that is meant, say --allow-wide",
                reader->file, pst_csv_line(reader->csv), pst_prefix_format(net, text), limit,
                pst_csv_field(reader->csv, 1));
    return FALSE;
}

/* A net is checked here, where a better text is at hand than the server's. */
static gboolean check_net(const Reader *reader, GError **error)
{
    const char *text = pst_csv_field(reader->csv, 0);
    PstPrefix net;
    if (pst_prefix_parse(text, strlen(text), TRUE, &net))
        return check_width(reader, &net, error);
    char meant[PST_PREFIX_TEXT_MAX];
    gboolean host_bits = pst_prefix_parse(text, strlen(text), FALSE, &net);
    g_set_error(error, PST_ERROR, PST_ERROR_DATA, "%s:%u: net \"%.60s\" %s%s%s", reader->file,
                pst_csv_line(reader->csv), text,
                host_bits ? "has bits set behind its length: is it "
                          : "is no network: write 192.0.2.16/28 or 2001:db8:1::/48",
                host_bits ? pst_prefix_format(&net, meant) : "", host_bits ? "?" : "");
    return FALSE;
}

static gboolean read_rows(PstPg *pg, const Reader *reader, GError **error)
{
    PstCsv *csv = reader->csv;
    g_auto(Chunk) chunk;
    chunk_init(&chunk);
    PstProgress progress;
    g_autofree char *what = g_strdup_printf("reading %s", reader->file);
    pst_progress_init(&progress, what, "lines", 0);
    guint64 done = 0;
    PstCsvItem item;
    while ((item = pst_csv_next(csv, error)) == PST_CSV_RECORD) {
        if (!check_net(reader, error))
            return FALSE;
        for (guint i = 0; i < N_COLUMNS; i++)
            pst_pg_array_text(&chunk.fields[i], pst_csv_field(csv, i));
        pst_pg_array_int(&chunk.lines, pst_csv_line(csv));
        if (++chunk.n == CHUNK && !write_chunk(pg, &chunk, error))
            return FALSE;
        pst_progress_update(&progress, ++done);
    }
    pst_progress_end(&progress, done);
    if (item == PST_CSV_ERROR || !write_chunk(pg, &chunk, error))
        return FALSE;
    if (done == 0)
        g_set_error(error, PST_ERROR, PST_ERROR_DATA, "%s: no customer in it; nothing was changed",
                    reader->file);
    return done > 0;
}

static gboolean load_file(PstPg *pg, const char *file, gboolean allow_wide, GError **error)
{
    g_autofree char *text = NULL;
    gsize len = 0;
    g_autoptr(GError) why = NULL;
    if (!g_file_get_contents(file, &text, &len, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s", why->message);
        return FALSE;
    }
    g_autoptr(PstCsv) csv = pst_csv_open(file, text, len, columns, error);
    Reader reader = {.file = file, .csv = csv};
    gboolean loaded =
        csv != NULL && (allow_wide || learn_networks(pg, &reader, error)) &&
        pst_pg_run(pg, "SELECT postern.customers_import_begin()", NULL, NULL, error) &&
        read_rows(pg, &reader, error);
    g_clear_pointer(&reader.our, g_array_unref);
    return loaded;
}

/* The server says "line 12: …"; people expect FILE:12: …. */
static void name_file(const char *file, GError **error)
{
    if (error == NULL || *error == NULL || !g_str_has_prefix((*error)->message, "line "))
        return;
    const char *rest = (*error)->message + strlen("line ");
    gsize digits = strspn(rest, "0123456789");
    if (digits == 0 || rest[digits] != ':')
        return;
    char *better = g_strdup_printf("%s:%s", file, rest);
    g_free((*error)->message);
    (*error)->message = better;
}

/* ---- the difference ---- */

/* How a kind of change is written, in the order in which the server lists them. */
static const struct {
    const char *change, *sign, *words;
} changes[] = {
    {"remove", "-", "addresses removed"},          {"move", ">", "addresses to another customer"},
    {"change", "~", "addresses changed"},          {"add", "+", "addresses added"},
    {"customer-remove", "-", "customers removed"}, {"customer-change", "~", "customers changed"},
    {"customer-add", "+", "customers added"},      {"contact-remove", "-", "contacts removed"},
    {"contact-add", "+", "contacts added"},        {"note", "!", "notes"},
};

static gsize change_index(const char *change)
{
    gsize i = 0;
    while (i + 1 < G_N_ELEMENTS(changes) && strcmp(changes[i].change, change) != 0)
        i++;
    return i;
}

static void print_diff(const PstPgRows *rows, gboolean *out_any)
{
    guint totals[G_N_ELEMENTS(changes)] = {0};
    *out_any = FALSE;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        gsize c = change_index(pst_pg_text(rows, i, 0));
        totals[c]++;
        *out_any |= strcmp(changes[c].change, "note") != 0;
        if (i >= SHOWN_MAX)
            continue;
        const char *net = pst_pg_text(rows, i, 1), *detail = pst_pg_text(rows, i, 3);
        printf("%s %-8s %-20s %-16s %s\n", changes[c].sign,
               g_str_has_prefix(changes[c].change, "c") && strchr(changes[c].change, '-') != NULL
                   ? (changes[c].change[1] == 'u' ? "customer" : "contact")
                   : "net",
               net != NULL ? net : "", pst_pg_text(rows, i, 2), detail != NULL ? detail : "");
    }
    if (pst_pg_count(rows) > SHOWN_MAX)
        printf("… and %d more\n", pst_pg_count(rows) - SHOWN_MAX);
    for (gsize c = 0; c < G_N_ELEMENTS(changes); c++)
        if (totals[c] > 0)
            printf("%u %s\n", totals[c], changes[c].words);
}

static gboolean show_diff(PstPg *pg, gboolean *out_any, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg, "SELECT change, net, customer, detail FROM postern.customers_import_diff()", NULL,
        error);
    if (rows == NULL)
        return FALSE;
    print_diff(rows, out_any);
    if (!*out_any)
        printf("nothing to change\n");
    return TRUE;
}

/* @seen names the difference that a person is asked about; NULL: nobody is. */
static gboolean apply(PstPg *pg, const Options *options, const char *seen, GError **error)
{
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_bool(&p, options->force);
    pst_pg_add_text(&p, actor);
    pst_pg_add_text(&p, seen);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg, "SELECT postern.customers_import_apply($1, $2, $3) - 'note' = '{}'", &p, error);
    if (rows == NULL)
        return FALSE;
    printf("%s\n",
           pst_pg_bool(rows, 0, 0) ? "nothing left to change: another import was faster" : "done");
    return TRUE;
}

/* Asks about the difference that was shown. While it waits for the answer others may import. */
static gboolean ask_and_apply(PstPg *pg, const Options *options, GError **error)
{
    if (options->yes)
        return apply(pg, options, NULL, error);
    g_autoptr(PstPgRows) seen =
        pst_pg_query(pg, "SELECT postern.customers_import_digest()", NULL, error);
    return seen != NULL && cli_confirm(FALSE, "Apply this?", error) &&
           apply(pg, options, pst_pg_text(seen, 0, 0), error);
}

static int import(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    gboolean any = FALSE;
    /* The rows live in a temporary table: this transaction changes nothing that lasts. */
    gboolean loaded = pst_pg_begin(pg, error) &&
                      load_file(pg, args[0], options->allow_wide, error) &&
                      pst_pg_commit(pg, error);
    if (!loaded || !show_diff(pg, &any, error)) {
        pst_pg_rollback(pg);
        name_file(args[0], error);
        return PST_EXIT_FAILED;
    }
    if (!any || options->dry_run)
        return PST_EXIT_DONE;
    if (!ask_and_apply(pg, options, error)) {
        name_file(args[0], error);
        return PST_EXIT_FAILED;
    }
    return PST_EXIT_DONE;
}

static int run_customers(PstRun *run, const CliConfig *config, gpointer options, GError **error)
{
    static const CliVerb verbs[] = {{"import", 1, "import FILE.csv", import}, {NULL}};
    return cli_run_verb(verbs, run, config, options, error);
}

int cmd_customers(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"yes", 0, 0, G_OPTION_ARG_NONE, &options.yes, "Do not ask", NULL},
        {"force", 0, 0, G_OPTION_ARG_NONE, &options.force,
         "Also when more than 10 % of the addresses would be removed", NULL},
        {"allow-wide", 0, 0, G_OPTION_ARG_NONE, &options.allow_wide,
         "Also nets wider than our networks, or than /8 (IPv6: /16)", NULL},
        {"dry-run", 0, 0, G_OPTION_ARG_NONE, &options.dry_run,
         "Show the difference and change nothing", NULL},
        {NULL},
    };
    PstProgram program = {.program = "postern customers",
                          .summary = "Customers, their addresses and contacts.",
                          .description = description,
                          .positional = "import FILE.csv",
                          .options = entries};
    return cli_run(&program, argc, argv, run_customers, &options);
}
