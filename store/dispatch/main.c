/* SPDX-License-Identifier: Apache-2.0 */
/* postern-dispatch: does what is due in the database. */
#include <string.h>
#include <unistd.h>

#include "migrate.h"
#include "work.h"

#define ROW(name, type, field, unit, min, max, choices, def, help)                                 \
    {                                                                                              \
        "dispatch", name, type, offsetof(DispatchConfig, field), unit, min, max, choices, def,     \
            FALSE, help                                                                            \
    }

static const PstConfRow rows[] = {
    {"dispatch", "database", PST_CONF_TEXT, offsetof(DispatchConfig, database), "", 0, 0, NULL, "",
     FALSE, "How to reach PostgreSQL: \"host=/run/postgresql dbname=postern user=postern_desk\"."},
    ROW("work", PST_CONF_LIST, work, "", 0, 0, NULL, "",
        "Kinds of work: verdict, deadline, mail, enforce."),
    ROW("poll", PST_CONF_SPAN_S, poll_s, "", 1, 3600, NULL, "5s",
        "How often to look for due rows when nothing wakes us."),
    ROW("mail", PST_CONF_TEXT, mail, "", 0, 0, NULL, "",
        "Where mails go: smtp://HOST[:PORT], smtps://HOST[:PORT], maildir:PATH."),
    ROW("mail_templates", PST_CONF_TEXT, mail_templates, "", 0, 0, NULL, "",
        "A folder with templates that take the place of ours; read again on SIGHUP."),
    ROW("mail_user", PST_CONF_TEXT, mail_user, "", 0, 0, NULL, "", "User for SMTP AUTH."),
    ROW("mail_password_file", PST_CONF_TEXT, mail_password_file, "", 0, 0, NULL, "",
        "A file that holds the password for SMTP AUTH."),
    ROW("mail_tls", PST_CONF_ENUM, mail_tls, "", 0, 0, "off|try|require", "try",
        "TLS on smtp://: never; when offered, unchecked; always, with a valid certificate."),
    ROW("mail_ca_file", PST_CONF_TEXT, mail_ca_file, "", 0, 0, NULL, "",
        "Certificates to trust; not set: the system's."),
    ROW("mail_helo", PST_CONF_TEXT, mail_helo, "", 0, 0, NULL, "",
        "Our name in EHLO; not set: the machine's."),
    ROW("mail_timeout", PST_CONF_SPAN_S, mail_timeout_s, "", 1, 3600, NULL, "2m",
        "The longest time that one mail may take, connection included."),
    ROW("reverse_dns", PST_CONF_BOOL, reverse_dns, "", 0, 0, NULL, "yes",
        "Ask for the reverse DNS name of a unit, for its mails; --no-reverse-dns does not."),
    ROW("adapters", PST_CONF_LIST, adapters, "", 0, 0, NULL, "null",
        "Ways into the network for enforce: null, hook."),
    ROW("hook", PST_CONF_TEXT, hook, "", 0, 0, NULL, "",
        "Your script and its arguments, for adapter hook: whole path, no shell."),
    ROW("hook_timeout", PST_CONF_SPAN_S, hook_timeout_s, "", 1, 45, NULL, "20s",
        "The longest time that one run of the script may take; then it is killed."),
    ROW("reconcile", PST_CONF_SPAN_S, reconcile_s, "", 1, 86400, NULL, "10m",
        "How often to ask an adapter what is applied, and put right what differs."),
    ROW("never_block", PST_CONF_TEXT, never_block, "", 0, 0, NULL, "",
        "Networks (a file, or a list) that no adapter closes, whatever the database says."),
    ROW("freeze_file", PST_CONF_TEXT, freeze_file, "", 0, 0, NULL, "",
        "A file that deadline appends every freeze to, for doctor --freezes; keep it off the disk "
        "of the database."),
    ROW("freeze_key", PST_CONF_TEXT, freeze_key, "", 0, 0, NULL, "",
        "A file with the key that signs it (mode 0640 or less): openssl rand -hex 32."),
    {NULL},
};

static const Work *const works[] = {&work_verdict, &work_deadline, &work_mail, &work_enforce};
/* Named in the plan, and not in this version: a unit file that asks for them gets a clear answer.
 */
static const char *const later[] = {"dnsbl"};

static const char description[] =
    "Kinds of work:\n"
    "  verdict   apply verdicts and complaints: warnings, blocks, cases (role postern_desk)\n"
    "  deadline  fire timers: reminders, deadlines, end of probation; freeze what was announced;\n"
    "            seal the audit (role postern_desk)\n"
    "  mail      send the outbox's mails (role postern_mailer)\n"
    "  enforce   carry out orders to the network through adapters (role postern_enforcer)\n"
    "  dnsbl comes with the blocklist checks and is refused by this version\n"
    "\n"
    "Each kind runs best as a process of its own under its own role; several in one process work\n"
    "too, under a role that may do all of them. It is woken by NOTIFY, looks by itself every "
    "--poll,"
    "\nand may be killed at any moment: what is due stands in the database.\n"
    "While the database is away it waits and tries again; /readyz says so.\n"
    "\n"
    "Examples:\n"
    "  postern-dispatch --database \"host=/run/postgresql dbname=postern user=postern_desk\" \\\n"
    "      --work=verdict,deadline --metrics 127.0.0.1:9104\n"
    "  postern-dispatch --database \"… user=postern_mailer\" --work=mail \\\n"
    "      --mail smtp://mail.example.net:25\n"
    "  postern-dispatch --database \"… user=postern_enforcer\" --work=enforce \\\n"
    "      --adapters hook --hook /etc/postern/hook --never-block /etc/postern/never\n"
    "\n"
    "Exit status: 0 ended by a signal, 1 failed, 2 usage or configuration.";

/* What /readyz tells, on the server's thread. */
typedef struct {
    GMutex lock; /* guards trouble */
    char *trouble;
    gint64 turned_ns; /* atomic: monotonic time of the last whole round */
    gint64 stale_ns;  /* no round for so long: not ready */
} Health;

static void set_trouble(Health *health, const char *text)
{
    g_mutex_lock(&health->lock);
    if (g_strcmp0(health->trouble, text) != 0) {
        g_free(health->trouble);
        health->trouble = g_strdup(text);
    }
    g_mutex_unlock(&health->lock);
}

static gboolean is_ready(gpointer user, GString *out_reasons)
{
    Health *health = user;
    g_mutex_lock(&health->lock);
    gboolean ready = health->trouble == NULL;
    if (!ready)
        g_string_append_printf(out_reasons, "%s\n", health->trouble);
    g_mutex_unlock(&health->lock);
    gint64 idle_ns = pst_mono_now().ns - __atomic_load_n(&health->turned_ns, __ATOMIC_RELAXED);
    if (ready && idle_ns > health->stale_ns) {
        g_string_append_printf(out_reasons, "no round of work ended for %d s\n",
                               (int)(idle_ns / PST_NS_PER_S));
        ready = FALSE;
    }
    return ready;
}

/* ---- choosing the work ---- */

typedef struct {
    const Work *work;
    gpointer self;
} OpenWork;

static void open_work_free(gpointer data)
{
    OpenWork *open = data;
    if (open->work->close != NULL)
        open->work->close(open->self);
    g_free(open);
}

static const Work *find_work(const char *name, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(works); i++)
        if (strcmp(works[i]->name, name) == 0)
            return works[i];
    for (gsize i = 0; i < G_N_ELEMENTS(later); i++)
        if (strcmp(later[i], name) == 0) {
            g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                        "--work=%s comes with the blocklist checks; this version has verdict, "
                        "deadline, mail and enforce",
                        name);
            return NULL;
        }
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "--work=%s: there is no such work; there are verdict, deadline, mail and enforce",
                name);
    return NULL;
}

static gboolean open_works(Dispatch *dispatch, GPtrArray *list, GError **error)
{
    char **names = dispatch->config->work;
    if (names == NULL || names[0] == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "--work is missing: verdict, deadline, mail, enforce");
        return FALSE;
    }
    for (; *names != NULL; names++) {
        const Work *work = find_work(*names, error);
        if (work == NULL)
            return FALSE;
        OpenWork *open = g_new0(OpenWork, 1);
        open->work = work;
        g_ptr_array_add(list, open);
        if (!work->open(dispatch, &open->self, error))
            return FALSE;
    }
    return TRUE;
}

/* ---- the loop ---- */

typedef struct {
    Dispatch dispatch;
    Health *health;
    GPtrArray *list;  /* OpenWork */
    gboolean checked; /* the schema */
    PstLogLimit trouble_limit;
    PstCell *away_total;
} Loop;

/* TRUE: go on. FALSE with @error: the operator must act. */
static gboolean connect_again(Loop *loop, GError **error)
{
    PstPg *pg = loop->dispatch.pg;
    g_autoptr(GError) why = NULL;
    if (!pst_pg_connected(pg) && !pst_pg_reconnect(pg, &why)) {
        set_trouble(loop->health, why->message);
        pst_log_limited(&loop->trouble_limit, PST_LOG_WARN, "database", "away: %s", why->message);
        pst_run_wait(loop->dispatch.run, pst_pg_backoff_ms(pg));
        return TRUE;
    }
    if (loop->checked)
        return TRUE;
    if (!pst_migrate_check(pg, pst_schema_files, &why)) {
        if (pst_error_class(why) == PST_ERROR_CLASS_TRANSIENT)
            return TRUE;
        why->code = PST_ERROR_USAGE; /* the operator's to set right, before we are started again */
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    loop->checked = TRUE;
    pst_log(PST_LOG_NOTICE, "database", "connected");
    return TRUE;
}

static void name_trouble(Loop *loop, const OpenWork *open, const char *why)
{
    g_autofree char *text = g_strdup_printf("%s: %s", open->work->name, why);
    set_trouble(loop->health, text);
}

/* One kind's failure does not keep the others from theirs. Returns rows, or −1. */
static int turn(Loop *loop, const OpenWork *open)
{
    g_autoptr(GError) error = NULL;
    int n = open->work->turn(&loop->dispatch, open->self, &error);
    if (n >= 0)
        return n;
    name_trouble(loop, open, error->message);
    pst_log_limited(&loop->trouble_limit, PST_LOG_WARN, open->work->name, "%s", error->message);
    pst_cell_add(loop->away_total, 1);
    return -1;
}

/* After a round that went well: what else a kind has to complain about. */
static void look_for_trouble(Loop *loop)
{
    for (guint i = 0; i < loop->list->len; i++) {
        const OpenWork *open = g_ptr_array_index(loop->list, i);
        const char *why = open->work->trouble != NULL ? open->work->trouble(open->self) : NULL;
        if (why != NULL) {
            name_trouble(loop, open, why);
            return;
        }
    }
    set_trouble(loop->health, NULL);
}

/* One round over all kinds. TRUE: something was due, look again at once. */
static gboolean run_round(Loop *loop)
{
    gboolean busy = FALSE, healthy = TRUE;
    for (guint i = 0; i < loop->list->len && !pst_run_stopping(loop->dispatch.run); i++) {
        int n = turn(loop, g_ptr_array_index(loop->list, i));
        busy |= n > 0;
        healthy &= n >= 0;
        pst_run_tick(loop->dispatch.run);
    }
    if (healthy) {
        look_for_trouble(loop);
        __atomic_store_n(&loop->health->turned_ns, pst_mono_now().ns, __ATOMIC_RELAXED);
    }
    return busy && healthy;
}

/* Never more than one query a second when nothing is due. */
static int idle_ms(const Loop *loop)
{
    gint64 queries = 0;
    for (guint i = 0; i < loop->list->len; i++)
        queries += ((const OpenWork *)g_ptr_array_index(loop->list, i))->work->queries;
    return (int)MAX(queries, loop->dispatch.config->poll_s) * 1000;
}

/* Waits for a notification, a signal, or the time to look by ourselves. */
static void idle(const Loop *loop)
{
    PstRun *run = loop->dispatch.run;
    PstMono until = pst_mono_add(pst_mono_now(), pst_span_ms(idle_ms(loop)));
    PstPgWait seen = PST_PG_WAIT_TIMEOUT;
    for (;;) {
        gint64 left_ms = pst_mono_since(until, pst_mono_now()).ns / PST_NS_PER_MS;
        if (seen != PST_PG_WAIT_TIMEOUT || left_ms <= 0)
            return;
        pst_run_tick(run);
        seen = pst_pg_wait(loop->dispatch.pg, (int)MIN(left_ms, 1000), pst_run_signal_fd(run));
        if (seen == PST_PG_WAIT_WOKEN)
            pst_run_wait(run, 0); /* a wake-up that asks for nothing is taken off */
    }
}

static void reload_all(Loop *loop)
{
    for (guint i = 0; i < loop->list->len; i++) {
        OpenWork *open = g_ptr_array_index(loop->list, i);
        if (open->work->reload != NULL)
            open->work->reload(&loop->dispatch, open->self);
    }
}

static gboolean loop_run(Loop *loop, GError **error)
{
    PstRun *run = loop->dispatch.run;
    pst_run_ready(run);
    while (!pst_run_stopping(run)) {
        pst_run_tick(run);
        if (pst_run_take_reload(run))
            reload_all(loop);
        if (!pst_pg_connected(loop->dispatch.pg) || !loop->checked) {
            if (!connect_again(loop, error))
                return FALSE;
            if (!pst_pg_connected(loop->dispatch.pg))
                continue;
        }
        if (!run_round(loop) && !pst_run_stopping(run))
            idle(loop);
    }
    return TRUE;
}

static char *worker_name(void)
{
    return g_strdup_printf("%s:%d:%" G_GINT64_FORMAT, g_get_host_name(), (int)getpid(),
                           g_get_real_time());
}

static gboolean dispatch_main(PstRun *run, const DispatchConfig *config, Health *health,
                              GError **error)
{
    if (config->database == NULL || *config->database == '\0') {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "--database is missing: \"host=/run/postgresql dbname=postern "
                    "user=postern_desk\"");
        return FALSE;
    }
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(open_work_free);
    g_autofree char *worker = worker_name();
    Loop loop = {.dispatch = {.run = run, .config = config, .worker = worker},
                 .health = health,
                 .list = list};
    loop.away_total =
        pst_stats_cell(run->stats, PST_COUNTER, "postern_dispatch_failed_rounds_total", NULL,
                       "Rounds of a kind of work that failed and are tried again.");
    if (!open_works(&loop.dispatch, list, error))
        return FALSE;
    g_autofree char *works_text = g_strjoinv(",", config->work);
    g_autofree char *application = g_strdup_printf("postern-dispatch %s", works_text);
    g_autoptr(PstPg) pg = pst_pg_open_lazy(config->database, application, error);
    if (pg == NULL)
        return FALSE;
    loop.dispatch.pg = pg;
    g_autoptr(GError) ignored = NULL;
    if (!pst_pg_listen(pg, "postern_work", &ignored)) /* listened to again when it is back */
        set_trouble(health, ignored->message);
    return loop_run(&loop, error);
}

int main(int argc, char **argv)
{
    DispatchConfig config = {0};
    Health health = {.turned_ns = pst_mono_now().ns, .stale_ns = 120 * PST_NS_PER_S};
    g_mutex_init(&health.lock);
    PstProgram program = {.program = "postern-dispatch",
                          .summary = "Does what is due in Postern's database.",
                          .description = description,
                          .rows = rows,
                          .target = &config,
                          .ready = is_ready,
                          .ready_user = &health};
    PstRun run;
    int status = PST_EXIT_DONE;
    if (!pst_run_init(&program, argc, argv, &run, &status))
        return status;
    health.stale_ns = (2 * config.mail_timeout_s + 120) * PST_NS_PER_S;
    GError *error = NULL;
    if (!dispatch_main(&run, &config, &health, &error))
        status = pst_run_fail_take("dispatch", error);
    pst_run_done(&run);
    pst_conf_clear(rows, &config);
    g_free(health.trouble);
    g_mutex_clear(&health.lock);
    return status;
}
