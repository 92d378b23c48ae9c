/* SPDX-License-Identifier: Apache-2.0 */
/* Three workers under ThreadSanitizer: datagrams and TCP connections from many addresses, while
 * main changes the rules again and again and another thread asks for readiness and metrics. Nothing
 * is lost. */
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crew.h"
#include "endpoint.h"
#include "export_builder.h"

enum { WORKERS = 3, SENDERS = 24, ROUNDS = 25, RELOADS = 60 };

typedef struct {
    PstStats *stats;
    Crew *crew;
    gint stop; /* atomic */
} World;

static void *look(void *data)
{
    World *world = data;
    while (!__atomic_load_n(&world->stop, __ATOMIC_ACQUIRE)) {
        g_autoptr(GString) text = g_string_new(NULL);
        (void)crew_ready(world->crew, text);
        pst_stats_write(world->stats, text);
    }
    return NULL;
}

/* A template and its flow. Given. */
static GByteArray *make_message(guint i)
{
    Export e = export_ipfix(.sequence = i);
    export_template(&e, 256, F(8, 4), F(12, 4), F(4, 1), F(7, 2), F(11, 2));
    export_data(&e, 256);
    export_u32(&e, 0xc6120001);
    export_u32(&e, 0xcb007105 + i);
    export_u8(&e, 6);
    export_u16(&e, 40000);
    export_u16(&e, 25);
    export_end(&e);
    return e.bytes;
}

/* A socket of exporter @number, 127.0.9.1 and on, that talks to the collector at @port. */
static int open_exporter(guint number, int type, guint16 port)
{
    struct sockaddr_in from = {.sin_family = AF_INET},
                       to = {.sin_family = AF_INET, .sin_port = htons(port)};
    from.sin_addr.s_addr = htonl(0x7f000900 + 1 + number);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&from, sizeof from), ==, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&to, sizeof to), ==, 0);
    return fd;
}

/* Each message a datagram, and each round of an exporter another port; and once more over TCP, one
 * connection a round. */
static void *send_all(void *data)
{
    guint16 port = *(guint16 *)data;
    for (guint i = 0; i < SENDERS * ROUNDS; i++) {
        g_autoptr(GByteArray) message = make_message(i / SENDERS);
        static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
        for (gsize t = 0; t < G_N_ELEMENTS(types); t++) {
            int fd = open_exporter(i % SENDERS, types[t], port);
            g_assert_cmpint(send(fd, message->data, message->len, 0), ==, message->len);
            close(fd);
        }
    }
    return NULL;
}

static Rules *make_rules(void)
{
    g_autoptr(GError) error = NULL;
    Rules *rules = rules_new();
    rules->networks = pst_networks_load("198.18.0.0/15", &error);
    rules->admitted = pst_networks_load("127.0.0.0/8", &error);
    g_assert_no_error(error);
    return rules;
}

static guint64 counted(PstStats *stats, const char *name)
{
    return pst_cell_get(pst_stats_cell(stats, PST_COUNTER, name, NULL, NULL));
}

static guint16 free_port(void)
{
    int fd = -1;
    gboolean opened = endpoint_open("udp://127.0.0.1:0", 1, &fd, NULL);
    g_assert_true(opened);
    guint16 port = endpoint_port(fd);
    close(fd);
    return port;
}

static void play(World *world, const WorkerOptions *options)
{
    g_autoptr(GError) error = NULL;
    guint16 port = free_port();
    g_autofree char *uri = g_strdup_printf("udp://127.0.0.1:%u", port);
    g_autofree char *tcp = g_strdup_printf("tcp://127.0.0.1:%u", port);
    world->crew = crew_new(options, WORKERS, make_rules(), &error);
    g_assert_no_error(error);
    gboolean good = crew_listen(world->crew, uri, 1 << 22, &error) &&
                    crew_listen(world->crew, tcp, 0, &error) && crew_start(world->crew, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    pthread_t looker, sender;
    pthread_create(&looker, NULL, look, world);
    pthread_create(&sender, NULL, send_all, &port);
    for (guint i = 0; i < RELOADS; i++)
        crew_reload_take(world->crew, make_rules());
    pthread_join(sender, NULL);
    g_assert_true(!crew_failed(world->crew));
    good = crew_stop(world->crew, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    __atomic_store_n(&world->stop, 1, __ATOMIC_RELEASE);
    pthread_join(looker, NULL);
    crew_free(world->crew);
}

int main(void)
{
    g_autofree char *folder = g_dir_make_tmp("postern-threads-XXXXXX", NULL);
    g_autofree char *output = g_strdup_printf("embedded:%s/bus.db", folder);
    static const PortSet ports = {.bits = {[25 / 64] = 1u << 25}};
    World world = {.stats = pst_stats_new()};
    PstClock *clock = pst_clock_new("system", NULL);
    WorkerOptions options = {
        .publisher = {.output = output,
                      .partitions = 2,
                      .batch_bytes = 4096,
                      .batch_ms = 20,
                      .queue_bytes = 3 << 20,
                      .producer = "crew",
                      .epoch = 1},
        .ports = &ports,
        .exporters_max = 1000,
        .hold_bytes_max = 1 << 20,
        .hold_domain_bytes = 65536,
        .hold_s = 60,
        .template_lifetime_s = 1800,
        .tcp_connections = 1000,
        .tcp_connections_each = 1000,
        .tcp_idle_s = 60,
        .clock = clock,
        .stats = world.stats,
    };
    play(&world, &options);
    guint64 taken = counted(world.stats, "postern_collector_datagrams_total");
    guint64 flows = counted(world.stats, "postern_collector_flows_total");
    printf("%" G_GUINT64_FORMAT " messages, %" G_GUINT64_FORMAT " flows\n", taken, flows);
    g_assert_cmpuint(taken, ==, 2 * SENDERS * ROUNDS);
    g_assert_cmpuint(flows, ==, 2 * SENDERS * ROUNDS);
    pst_stats_free(world.stats);
    pst_clock_free(clock);
    g_unlink(output + strlen("embedded:"));
    g_rmdir(folder);
    return 0;
}
