/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"

typedef struct {
    guint n;
    gsize bytes;
    gint64 newest_ns;
    Datagram last;
} Heard;

static void hear(gpointer user, const Datagram *datagram)
{
    Heard *heard = user;
    heard->n++;
    heard->bytes += datagram->len;
    heard->last = *datagram;
    heard->newest_ns = MAX(heard->newest_ns, datagram->kernel_ns);
}

static void send_to(const Listener *listener, guint n, gsize len)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(listener_port(listener))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    g_autofree guint8 *payload = g_malloc0(len);
    for (guint i = 0; i < n; i++)
        cr_assert_eq(sendto(fd, payload, len, 0, (struct sockaddr *)&to, sizeof to), (gssize)len);
    close(fd);
}

Test(listener, gives_datagrams_with_sender_and_kernel_time)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) listener = listener_open("udp://127.0.0.1:0", 1 << 20, &error);
    cr_assert_null(error);
    gint64 before_ns = g_get_real_time() * 1000;
    send_to(listener, 100, 1400);
    Heard heard = {0};
    guint64 dropped = 0;
    cr_assert_eq(listener_receive(listener, hear, &heard, &dropped), LISTENER_BATCH);
    cr_assert_eq(listener_receive(listener, hear, &heard, &dropped), 100 - LISTENER_BATCH);
    cr_assert_eq(listener_receive(listener, hear, &heard, &dropped), 0);
    cr_assert_eq(heard.bytes, 140000);
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(&heard.last.sender, text), "127.0.0.1");
    cr_assert_neq(heard.last.port, 0);
    cr_assert_not(heard.last.truncated);
    cr_assert_geq(heard.newest_ns, before_ns - 1000);
    cr_assert_leq(heard.newest_ns, g_get_real_time() * 1000 + 1000);
    cr_assert_eq(dropped, 0);
}

Test(listener, takes_datagrams_of_any_size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) listener = listener_open("udp://127.0.0.1:0", 1 << 20, &error);
    send_to(listener, 1, 0);
    send_to(listener, 1, 65507);
    Heard heard = {0};
    guint64 dropped = 0;
    cr_assert_eq(listener_receive(listener, hear, &heard, &dropped), 2);
    cr_assert_eq(heard.last.len, 65507);
}

Test(listener, tells_what_the_kernel_had_no_room_for)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) listener = listener_open("udp://127.0.0.1:0", 4096, &error);
    send_to(listener, 1000, 1400);
    Heard heard = {0};
    guint64 dropped = 0;
    while (listener_receive(listener, hear, &heard, &dropped) > 0)
        continue;
    send_to(listener, 1, 1400); /* the count travels with the next datagram */
    while (listener_receive(listener, hear, &heard, &dropped) > 0)
        continue;
    cr_assert_gt(dropped, 0);
    cr_assert_eq(heard.n + dropped, 1001);
}

Test(listener, hears_both_families_on_an_empty_address)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) listener = listener_open("udp://:0", 65536, &error);
    cr_assert_null(error, "%s", error->message);
    send_to(listener, 1, 100);
    Heard heard = {0};
    guint64 dropped = 0;
    cr_assert_eq(listener_receive(listener, hear, &heard, &dropped), 1);
    cr_assert_eq(heard.last.sender.family, PST_AF_INET, "v4-mapped is folded");
}

Test(listener, refuses_what_is_no_address)
{
    static const char *const uris[] = {"",           "udp://",          "udp://127.0.0.1",
                                       "tcp://:1",   "udp://host:2055", "udp://127.0.0.1:x",
                                       "udp://[::1]"};
    for (gsize i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(GError) error = NULL;
        cr_assert_null(listener_open(uris[i], 65536, &error));
        cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE), "%s", uris[i]);
    }
    g_autoptr(GError) error = NULL;
    cr_assert_null(listener_open("udp://192.0.2.1:2055", 65536, &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_IO));
}
