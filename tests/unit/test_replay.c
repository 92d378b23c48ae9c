/* SPDX-License-Identifier: Apache-2.0 */
/* Replay and listener, face to face over loopback. */
#include <criterion/criterion.h>
#include <poll.h>

#include "endpoint.h"
#include "listener.h"
#include "replay.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

typedef struct {
    Listener *listener;
    char *to;
    guint n;
    Datagram last;
    guint8 first_byte;
    char senders[8][PST_ADDR_TEXT_MAX];
} Ear;

static void hear(gpointer user, const Datagram *datagram)
{
    Ear *ear = user;
    ear->last = *datagram;
    ear->first_byte = datagram->payload[0];
    pst_addr_format(&datagram->sender, ear->senders[ear->n++ % 8]);
}

static void ear_open(Ear *ear)
{
    g_autoptr(GError) error = NULL;
    memset(ear, 0, sizeof *ear);
    int fd = -1;
    cr_assert(endpoint_open("udp://127.0.0.1:0", 1, &fd, &error), "%s", error->message);
    ear->listener = listener_new_take(fd, 65536);
    ear->to = g_strdup_printf("127.0.0.1:%u", endpoint_port(fd));
}

static void ear_wait(Ear *ear, guint n)
{
    while (ear->n < n) {
        struct pollfd fd = {.fd = listener_fd(ear->listener), .events = POLLIN};
        cr_assert_eq(poll(&fd, 1, 5000), 1, "a datagram within five seconds");
        (void)listener_receive(ear->listener, hear, ear);
    }
}

static void ear_clear(Ear *ear)
{
    listener_close(ear->listener);
    g_free(ear->to);
}

static void say(Replay *replay, const char *sender, guint16 port, guint8 byte)
{
    PstAddr addr = {0};
    cr_assert(pst_addr_parse(sender, strlen(sender), &addr));
    Datagram datagram = {.payload = &byte, .len = 1, .sender = addr, .port = port};
    g_autoptr(GError) error = NULL;
    cr_assert(replay_send(replay, &datagram, &error));
}

Test(replay, gives_each_recorded_sender_an_address_of_its_own)
{
    Ear ear;
    ear_open(&ear);
    g_autoptr(GError) error = NULL;
    g_autoptr(Replay) replay =
        replay_new(&(ReplayOptions){.to = ear.to, .map_senders = TRUE, .speed = 1}, &error);
    cr_assert_null(error);
    static const char *const senders[] = {"192.0.2.1", "2001:db8::7", "192.0.2.1", "192.0.2.9"};
    for (guint i = 0; i < 4; i++) {
        say(replay, senders[i], 50000, (guint8)i);
        ear_wait(&ear, i + 1);
    }
    cr_assert_str_eq(ear.senders[0], "127.0.1.1");
    cr_assert_str_eq(ear.senders[1], "127.0.1.2");
    cr_assert_str_eq(ear.senders[2], "127.0.1.1");
    cr_assert_str_eq(ear.senders[3], "127.0.1.3");
    cr_assert_eq(replay_counts(replay)->sent, 4);
    cr_assert_eq(replay_counts(replay)->senders, 3);
    ear_clear(&ear);
}

Test(replay, keeps_sessions_apart_by_their_ports)
{
    Ear ear;
    ear_open(&ear);
    g_autoptr(GError) error = NULL;
    g_autoptr(Replay) replay = replay_new(&(ReplayOptions){.to = ear.to, .speed = 1}, &error);
    say(replay, "192.0.2.1", 0, 1);
    ear_wait(&ear, 1);
    guint16 first = ear.last.port;
    say(replay, "192.0.2.1", 1, 1); /* a port that is likely not free: any other will do */
    ear_wait(&ear, 2);
    cr_assert_neq(ear.last.port, first);
    ear_clear(&ear);
}

Test(replay, waits_for_the_recorded_time_divided_by_the_speed)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Replay) replay =
        replay_new(&(ReplayOptions){.to = "127.0.0.1:9", .speed = 10}, &error);
    PstMono start = {5 * NS_PER_S};
    cr_assert_leq(replay_wait_ns(replay, 1000 * NS_PER_S, start), 0);
    cr_assert_eq(replay_wait_ns(replay, 1020 * NS_PER_S, start), 2 * NS_PER_S);
    cr_assert_eq(replay_wait_ns(replay, 1020 * NS_PER_S, (PstMono){6 * NS_PER_S}), NS_PER_S);
    cr_assert_leq(replay_wait_ns(replay, 1020 * NS_PER_S, (PstMono){8 * NS_PER_S}), 0);
    cr_assert_leq(replay_wait_ns(replay, 900 * NS_PER_S, start), 0);
}

Test(replay, of_speed_zero_never_waits)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Replay) replay = replay_new(&(ReplayOptions){.to = "127.0.0.1:9"}, &error);
    (void)replay_wait_ns(replay, 1000 * NS_PER_S, (PstMono){1});
    cr_assert_leq(replay_wait_ns(replay, 5000 * NS_PER_S, (PstMono){1}), 0);
}

Test(replay, refuses_targets_that_it_cannot_use)
{
    static const struct {
        const char *to;
        gboolean map;
        gboolean good;
    } cases[] = {
        {"127.0.0.1:9", TRUE, TRUE}, {"192.0.2.1:9", TRUE, FALSE},  {"[::1]:9", TRUE, FALSE},
        {"[::1]:9", FALSE, TRUE},    {"127.0.0.1", FALSE, FALSE},   {"127.0.0.1:", FALSE, FALSE},
        {":2055", FALSE, FALSE},     {"127.0.0.1:x", FALSE, FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Replay) replay =
            replay_new(&(ReplayOptions){.to = cases[i].to, .map_senders = cases[i].map}, &error);
        cr_assert_eq(replay != NULL, cases[i].good, "case %zu", i);
        cr_assert(cases[i].good || g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    }
}
