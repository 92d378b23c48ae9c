/* SPDX-License-Identifier: Apache-2.0 */
#include "crew.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "endpoint.h"
#include "log.h"

/* GLib's locks are not seen by ThreadSanitizer; pthread's are. */

/* A worker that has emptied its sockets rests: what arrives meanwhile is taken at one go, where
 * each datagram would else wake it by itself. 4 million flows a second fill half a MiB of queue so;
 * a socket with less than REST_QUEUE_BYTES is not kept waiting. */
#define REST_NS          (1000 * 1000L)
#define REST_QUEUE_BYTES (2 << 20)

enum { TICK_MS = 100, LAST_ROUNDS = 64, FLUSH_MS = 10000, DESCRIPTORS_ELSE = 256 };
#define ALIVE_NS (10 * PST_NS_PER_S)

G_STATIC_ASSERT((int)CREW_MAX <= (int)ENDPOINT_SOCKETS_MAX);

/* One worker and its thread. */
typedef struct {
    Crew *crew;
    char *producer; /* owned */
    char *spool;    /* owned; NULL: none */
    Worker *worker; /* owned; its thread's while that runs */
    pthread_t thread;
    gboolean running; /* the thread is there */
    int wake_fd;      /* readable: look at what the crew asks */
    gint64 turned_ns; /* atomic: monotonic time of the last turn */
    Rules *rules;     /* guarded: to be taken; NULL: none */
    gboolean ended;   /* guarded */
    GError *error;    /* the thread's; then, when it is joined, main's */
} Seat;

struct Crew {
    guint n;
    Seat *seats;
    gboolean rests;   /* its sockets have the room */
    gboolean started; /* crew_start was called, crew_stop not */
    int ended_fd;
    rlim_t descriptors;   /* that TCP may need */
    pthread_mutex_t lock; /* guards what is marked so, and stopping */
    pthread_cond_t taken; /* rules were taken, or a worker ended */
    gboolean stopping;
};

static void signal_fd(int fd)
{
    guint64 one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n; /* a full counter is awake enough */
}

static void clear_fd(int fd)
{
    guint64 count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

static gboolean open_fd(int *out_fd, GError **error)
{
    *out_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (*out_fd >= 0)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "eventfd: %s", g_strerror(errno));
    return FALSE;
}

static gboolean seat_open(Seat *seat, const WorkerOptions *options, guint number, Rules *rules,
                          GError **error)
{
    guint n = seat->crew->n;
    WorkerOptions own = *options;
    seat->producer = heirs_producer_of(options->publisher.producer, n, number);
    own.number = number;
    own.count = n;
    own.publisher.producer = seat->producer;
    own.publisher.queue_bytes /= n;
    if (options->publisher.spool != NULL)
        own.publisher.spool = seat->spool = heirs_spool_of(options->publisher.spool, n, number);
    own.publisher.spool_bytes /= n;
    own.hold_bytes_max /= n;
    if (!open_fd(&seat->wake_fd, error))
        return FALSE;
    seat->worker = worker_new(&own, rules_ref(rules), error);
    return seat->worker != NULL &&
           (number > 1 || worker_inherit(seat->worker, &options->publisher, error)) &&
           worker_tick(seat->worker, error);
}

Crew *crew_new(const WorkerOptions *options, guint n, Rules *rules_take, GError **error)
{
    g_assert(n >= 1 && n <= CREW_MAX);
    g_autoptr(Rules) rules = rules_take;
    g_autoptr(Crew) crew = g_new0(Crew, 1);
    crew->n = n;
    crew->rests = TRUE;
    crew->ended_fd = -1;
    crew->descriptors = DESCRIPTORS_ELSE + (rlim_t)n * options->tcp_connections;
    crew->seats = g_new0(Seat, n);
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->taken, NULL);
    for (guint i = 0; i < n; i++) {
        crew->seats[i].crew = crew;
        crew->seats[i].wake_fd = -1;
    }
    if (!open_fd(&crew->ended_fd, error))
        return NULL;
    for (guint i = 0; i < n; i++) {
        if (!seat_open(&crew->seats[i], options, i + 1, rules, error))
            return NULL;
    }
    return g_steal_pointer(&crew);
}

static void seat_clear(Seat *seat)
{
    worker_free(seat->worker);
    g_free(seat->producer);
    g_free(seat->spool);
    rules_unref(seat->rules);
    g_clear_error(&seat->error);
    if (seat->wake_fd >= 0)
        close(seat->wake_fd);
}

void crew_free(Crew *crew)
{
    if (crew == NULL)
        return;
    g_assert(!crew->started);
    for (guint i = 0; i < crew->n; i++)
        seat_clear(&crew->seats[i]);
    g_free(crew->seats);
    if (crew->ended_fd >= 0)
        close(crew->ended_fd);
    pthread_mutex_destroy(&crew->lock);
    pthread_cond_destroy(&crew->taken);
    g_free(crew);
}

/* Many connections need many descriptors; what the system allows is taken. */
static void allow_descriptors(rlim_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = MIN(wanted, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        pst_log(PST_LOG_WARN, "tcp",
                "fewer files may be open than tcp_connections needs: raise the limit "
                "allowed=%ju needed=%ju",
                (uintmax_t)limit.rlim_cur, (uintmax_t)wanted);
}

static gboolean listen_tcp(Crew *crew, const char *uri, const int *fds, GError **error)
{
    allow_descriptors(crew->descriptors);
    guint16 port = endpoint_port(fds[0]);
    gboolean good = TRUE;
    for (guint i = 0; i < crew->n; i++) {
        if (good)
            good = worker_listen_tcp_take(crew->seats[i].worker, fds[i], error);
        else
            close(fds[i]);
    }
    if (good)
        pst_log(PST_LOG_INFO, uri, "listening port=%u", port);
    return good;
}

static void listen_udp(Crew *crew, const char *uri, const int *fds, gint64 rcvbuf_bytes)
{
    gint64 given_bytes = 0;
    for (guint i = 0; i < crew->n; i++) {
        Listener *listener = listener_new_take(fds[i], rcvbuf_bytes);
        given_bytes = listener_rcvbuf(listener);
        worker_listen_take(crew->seats[i].worker, listener);
    }
    crew->rests = crew->rests && given_bytes >= REST_QUEUE_BYTES;
    pst_log(PST_LOG_INFO, uri, "listening port=%u rcvbuf_bytes=%" G_GINT64_FORMAT,
            endpoint_port(fds[0]), given_bytes);
    if (given_bytes < rcvbuf_bytes)
        pst_log(PST_LOG_WARN, uri,
                "socket queue is smaller than asked for: raise net.core.rmem_max "
                "wanted_bytes=%" G_GINT64_FORMAT " given_bytes=%" G_GINT64_FORMAT,
                rcvbuf_bytes, given_bytes);
}

gboolean crew_listen(Crew *crew, const char *uri, gint64 rcvbuf_bytes, GError **error)
{
    g_assert(!crew->started);
    int fds[CREW_MAX];
    if (!endpoint_open(uri, crew->n, fds, error))
        return FALSE;
    if (endpoint_is_tcp(uri))
        return listen_tcp(crew, uri, fds, error);
    listen_udp(crew, uri, fds, rcvbuf_bytes);
    return TRUE;
}

Worker *crew_reader(Crew *crew)
{
    g_assert(!crew->started);
    return crew->seats[0].worker;
}

/* --- a worker's thread ----------------------------------------------------------------------- */

/* Does what the crew asks. FALSE: it asks to end. */
static gboolean take_asked(Seat *seat)
{
    Crew *crew = seat->crew;
    clear_fd(seat->wake_fd);
    pthread_mutex_lock(&crew->lock);
    if (seat->rules != NULL) {
        worker_reload_take(seat->worker, g_steal_pointer(&seat->rules));
        pthread_cond_signal(&crew->taken);
    }
    gboolean go_on = !crew->stopping;
    pthread_mutex_unlock(&crew->lock);
    return go_on;
}

static gboolean receive_all(Seat *seat, const struct pollfd *fds, guint n)
{
    gboolean more = FALSE;
    for (guint i = 0; i < n; i++) {
        if (fds[i].revents != 0)
            more |= worker_receive(seat->worker, i);
    }
    return more;
}

static void rest(void)
{
    const struct timespec span = {.tv_nsec = REST_NS};
    (void)nanosleep(&span, NULL);
}

/* Turns round until the crew is to end: sleep until something is to do, receive, tick. */
static gboolean serve(Seat *seat, GError **error)
{
    guint n = worker_inputs(seat->worker);
    g_autofree struct pollfd *fds = g_new0(struct pollfd, n + 1);
    for (guint i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = worker_input_fd(seat->worker, i), .events = POLLIN};
    fds[n] = (struct pollfd){.fd = seat->wake_fd, .events = POLLIN};
    gboolean busy = FALSE;
    for (;;) {
        int ready = poll(fds, n + 1, busy ? 0 : TICK_MS);
        if (ready < 0 && errno != EINTR) {
            g_set_error(error, PST_ERROR, PST_ERROR_IO, "poll: %s", g_strerror(errno));
            return FALSE;
        }
        busy = receive_all(seat, fds, n);
        if (!worker_tick(seat->worker, error))
            return FALSE;
        __atomic_store_n(&seat->turned_ns, pst_mono_now().ns, __ATOMIC_RELAXED);
        if (fds[n].revents != 0 && !take_asked(seat))
            return TRUE;
        if (ready > 0 && !busy && seat->crew->rests)
            rest();
    }
}

/* What had arrived when we were asked to end. */
static void drain(Worker *worker)
{
    for (guint i = 0; i < worker_inputs(worker); i++) {
        for (guint round = 0; round < LAST_ROUNDS && worker_receive(worker, i); round++)
            continue;
    }
}

/* Whatever ended it: what was taken until then is delivered. */
static void finish(Seat *seat)
{
    (void)worker_finish(seat->worker, FLUSH_MS, seat->error == NULL ? &seat->error : NULL);
}

static void *run_seat(void *data)
{
    Seat *seat = data;
    Crew *crew = seat->crew;
    if (serve(seat, &seat->error))
        drain(seat->worker);
    finish(seat);
    pthread_mutex_lock(&crew->lock);
    seat->ended = TRUE;
    pthread_cond_signal(&crew->taken);
    pthread_mutex_unlock(&crew->lock);
    signal_fd(crew->ended_fd);
    return NULL;
}

/* --- main's side ----------------------------------------------------------------------------- */

gboolean crew_start(Crew *crew, GError **error)
{
    g_assert(!crew->started);
    crew->started = TRUE;
    sigset_t all, before; /* signals are main's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = 0;
    for (guint i = 0; i < crew->n && code == 0; i++) {
        Seat *seat = &crew->seats[i];
        __atomic_store_n(&seat->turned_ns, pst_mono_now().ns, __ATOMIC_RELAXED);
        code = pthread_create(&seat->thread, NULL, run_seat, seat);
        seat->running = code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "a worker's thread: %s", g_strerror(code));
    return code == 0;
}

int crew_fd(const Crew *crew)
{
    return crew->ended_fd;
}

gboolean crew_failed(Crew *crew)
{
    gboolean failed = FALSE;
    pthread_mutex_lock(&crew->lock);
    for (guint i = 0; i < crew->n; i++)
        failed |= crew->seats[i].ended;
    pthread_mutex_unlock(&crew->lock);
    return failed;
}

gboolean crew_alive(Crew *crew)
{
    gint64 since_ns = pst_mono_now().ns - ALIVE_NS;
    for (guint i = 0; i < crew->n; i++) {
        if (__atomic_load_n(&crew->seats[i].turned_ns, __ATOMIC_RELAXED) < since_ns)
            return FALSE;
    }
    return TRUE;
}

void crew_reload_take(Crew *crew, Rules *rules_take)
{
    g_autoptr(Rules) rules = rules_take;
    pthread_mutex_lock(&crew->lock);
    for (guint i = 0; i < crew->n; i++) {
        Seat *seat = &crew->seats[i];
        g_clear_pointer(&seat->rules, rules_unref);
        seat->rules = rules_ref(rules);
        signal_fd(seat->wake_fd);
    }
    for (guint i = 0; i < crew->n; i++) {
        Seat *seat = &crew->seats[i];
        while (seat->rules != NULL && !seat->ended)
            pthread_cond_wait(&crew->taken, &crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
}

static void join_all(Crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->stopping = TRUE;
    pthread_mutex_unlock(&crew->lock);
    for (guint i = 0; i < crew->n; i++)
        signal_fd(crew->seats[i].wake_fd);
    for (guint i = 0; i < crew->n; i++) {
        Seat *seat = &crew->seats[i];
        if (seat->running)
            pthread_join(seat->thread, NULL);
        else
            finish(seat);
        seat->running = FALSE;
    }
}

gboolean crew_stop(Crew *crew, GError **error)
{
    join_all(crew);
    crew->started = FALSE;
    gboolean good = TRUE;
    for (guint i = 0; i < crew->n; i++) {
        Seat *seat = &crew->seats[i];
        if (seat->error == NULL)
            continue;
        if (good)
            g_propagate_error(error, g_steal_pointer(&seat->error));
        else
            pst_log(PST_LOG_ERR, seat->producer, "%s", seat->error->message);
        good = FALSE;
    }
    return good;
}

gboolean crew_ready(Crew *crew, GString *out_reasons)
{
    gboolean ready = TRUE;
    for (guint i = 0; i < crew->n; i++) {
        gsize at = out_reasons->len;
        if (worker_ready(crew->seats[i].worker, out_reasons))
            continue;
        ready = FALSE;
        if (crew->n > 1) {
            g_autofree char *who = g_strdup_printf("worker %u: ", i + 1);
            g_string_insert(out_reasons, (gssize)at, who);
        }
    }
    return ready;
}
