/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"
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

static Listener *open_at(const char *uri, gint64 rcvbuf_bytes)
{
    g_autoptr(GError) error = NULL;
    int fd = -1;
    cr_assert(endpoint_open(uri, 1, &fd, &error), "%s", error->message);
    return listener_new_take(fd, rcvbuf_bytes);
}

static void send_to(const Listener *listener, guint n, gsize len)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(endpoint_port(listener_fd(listener)))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    g_autofree guint8 *payload = g_malloc0(len);
    for (guint i = 0; i < n; i++)
        cr_assert_eq(sendto(fd, payload, len, 0, (struct sockaddr *)&to, sizeof to), (gssize)len);
    close(fd);
}

Test(listener, gives_datagrams_with_sender_and_kernel_time)
{
    g_autoptr(Listener) listener = open_at("udp://127.0.0.1:0", 1 << 20);
    gint64 before_ns = g_get_real_time() * 1000;
    send_to(listener, 100, 1400);
    Heard heard = {0};
    cr_assert_eq(listener_receive(listener, hear, &heard), LISTENER_BATCH);
    cr_assert_eq(listener_receive(listener, hear, &heard), 100 - LISTENER_BATCH);
    cr_assert_eq(listener_receive(listener, hear, &heard), 0);
    cr_assert_eq(heard.bytes, 140000);
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(&heard.last.sender, text), "127.0.0.1");
    cr_assert_neq(heard.last.port, 0);
    cr_assert_not(heard.last.truncated);
    cr_assert_geq(heard.newest_ns, before_ns - 1000);
    cr_assert_leq(heard.newest_ns, g_get_real_time() * 1000 + 1000);
    cr_assert_eq(listener_take_dropped(listener), 0);
}

Test(listener, takes_datagrams_of_any_size)
{
    g_autoptr(Listener) listener = open_at("udp://127.0.0.1:0", 1 << 20);
    send_to(listener, 1, 0);
    send_to(listener, 1, 65507);
    Heard heard = {0};
    cr_assert_eq(listener_receive(listener, hear, &heard), 2);
    cr_assert_eq(heard.last.len, 65507);
}

Test(listener, tells_what_the_kernel_had_no_room_for)
{
    g_autoptr(Listener) listener = open_at("udp://127.0.0.1:0", 4096);
    send_to(listener, 1000, 1400);
    Heard heard = {0};
    while (listener_receive(listener, hear, &heard) > 0)
        continue;
    guint64 dropped = listener_take_dropped(listener);
    cr_assert_gt(dropped, 0);
    cr_assert_eq(heard.n + dropped, 1000);
    cr_assert_eq(listener_take_dropped(listener), 0, "told once");
}

Test(listener, hears_both_families_on_an_empty_address)
{
    g_autoptr(Listener) listener = open_at("udp://:0", 65536);
    send_to(listener, 1, 100);
    Heard heard = {0};
    cr_assert_eq(listener_receive(listener, hear, &heard), 1);
    cr_assert_eq(heard.last.sender.family, PST_AF_INET, "v4-mapped is folded");
}
