/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of one worker and of several, and which of them an exporter's address leads to. What a
 * child process runs asserts in GLib's way. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "endpoint.h"
#include "listener.h"
#include "steer.h"

enum { WORKERS = 5, SENDERS = 40, PORTS = 3 };

typedef struct {
    int fds[WORKERS];
    guint16 port;
} Group;

static void group_open(Group *group, const char *uri)
{
    g_autoptr(GError) error = NULL;
    gboolean opened = endpoint_open(uri, WORKERS, group->fds, &error);
    g_assert_no_error(error);
    g_assert_true(opened);
    group->port = endpoint_port(group->fds[0]);
    for (guint i = 1; i < WORKERS; i++)
        g_assert_cmpuint(endpoint_port(group->fds[i]), ==, group->port);
}

static void group_close(Group *group)
{
    for (guint i = 0; i < WORKERS; i++)
        close(group->fds[i]);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Group, group_close)

static socklen_t name_of(const char *text, guint16 port, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    *out = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    g_assert_cmpint(inet_pton(AF_INET6, text, &v6->sin6_addr), ==, 1);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof *v6;
}

/* A socket at @from, any port, that talks to @to. */
static int open_sender(const char *from, const char *to, guint16 port, int type)
{
    struct sockaddr_storage name;
    socklen_t len = name_of(from, 0, &name);
    int fd = socket(name.ss_family, type, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&name, len), ==, 0);
    len = name_of(to, port, &name);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&name, len), ==, 0);
    return fd;
}

static guint worker_of_text(const char *text)
{
    PstAddr addr;
    gboolean parsed = pst_addr_parse(text, strlen(text), &addr);
    g_assert_true(parsed);
    return steer_worker(&addr, WORKERS);
}

/* Which socket has something to read, within five seconds? */
static guint readable(const Group *group)
{
    struct pollfd fds[WORKERS];
    for (guint i = 0; i < WORKERS; i++)
        fds[i] = (struct pollfd){.fd = group->fds[i], .events = POLLIN};
    g_assert_cmpint(poll(fds, WORKERS, 5000), ==, 1); /* one socket hears it */
    for (guint i = 0; i < WORKERS; i++) {
        if (fds[i].revents != 0)
            return i;
    }
    return WORKERS;
}

static guint udp_heard_by(const Group *group, const char *from, const char *to)
{
    int sender = open_sender(from, to, group->port, SOCK_DGRAM);
    g_assert_cmpint(send(sender, "x", 1, 0), ==, 1);
    close(sender);
    guint heard = readable(group);
    char byte;
    g_assert_cmpint(recv(group->fds[heard], &byte, 1, 0), ==, 1);
    return heard;
}

static guint tcp_heard_by(const Group *group, const char *from, const char *to)
{
    int sender = open_sender(from, to, group->port, SOCK_STREAM);
    guint heard = readable(group);
    int accepted = accept(group->fds[heard], NULL, NULL);
    g_assert_cmpint(accepted, >=, 0);
    close(accepted);
    close(sender);
    return heard;
}

static char *sender4(guint i)
{
    return g_strdup_printf("127.0.7.%u", i);
}

static char *sender6(guint i)
{
    return g_strdup_printf("2001:db8:%u:7::%u", i, i);
}

typedef char *(*SenderName)(guint i);
typedef guint (*HeardBy)(const Group *group, const char *from, const char *to);

/* Every address leads to its worker, from whatever port, and the addresses spread. */
static void check_steering(const Group *group, HeardBy heard_by, SenderName name, const char *to)
{
    guint used = 0;
    for (guint i = 1; i <= SENDERS; i++) {
        g_autofree char *from = name(i);
        guint expected = worker_of_text(from);
        used |= 1u << expected;
        for (guint port = 0; port < PORTS; port++)
            g_assert_cmpuint(heard_by(group, from, to), ==, expected);
    }
    g_assert_cmphex(used, ==, (1u << WORKERS) - 1); /* every worker has somebody */
}

Test(endpoint, an_ipv4_address_leads_to_one_worker)
{
    g_auto(Group) udp = {0};
    group_open(&udp, "udp://127.0.0.1:0");
    check_steering(&udp, udp_heard_by, sender4, "127.0.0.1");
    g_auto(Group) tcp = {0};
    group_open(&tcp, "tcp://127.0.0.1:0");
    check_steering(&tcp, tcp_heard_by, sender4, "127.0.0.1");
}

Test(endpoint, an_ipv4_address_leads_to_the_same_worker_on_an_ipv6_socket)
{
    g_auto(Group) udp = {0};
    group_open(&udp, "udp://:0");
    check_steering(&udp, udp_heard_by, sender4, "127.0.0.1");
    g_auto(Group) tcp = {0};
    group_open(&tcp, "tcp://[::]:0");
    check_steering(&tcp, tcp_heard_by, sender4, "127.0.0.1");
}

/* A network of our own, in which loopback has many addresses; we are its root, whoever we are. */
static gboolean enter_network(void)
{
    g_autofree char *map = g_strdup_printf("0 %u 1", geteuid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return unshare(CLONE_NEWNET) == 0;
    int fd = open("/proc/self/uid_map", O_WRONLY);
    gboolean mapped = write(fd, map, strlen(map)) == (gssize)strlen(map);
    close(fd);
    return mapped;
}

static void run(const char *command)
{
    g_assert_cmpint(system(command), ==, 0);
}

/* In a process of its own, which has one thread: so it may have a network of its own. */
static void check_ipv6(void)
{
    if (!enter_network()) { /* a kernel that gives nobody one */
        g_auto(Group) group = {0};
        group_open(&group, "udp://[::1]:0");
        g_assert_cmpuint(udp_heard_by(&group, "::1", "::1"), ==, worker_of_text("::1"));
        return;
    }
    run("ip link set lo up");
    for (guint i = 1; i <= SENDERS; i++) {
        g_autofree char *addr = sender6(i);
        g_autofree char *command = g_strdup_printf("ip -6 addr add %s/128 dev lo nodad", addr);
        run(command);
    }
    g_auto(Group) udp = {0};
    group_open(&udp, "udp://[::]:0");
    check_steering(&udp, udp_heard_by, sender6, "::1");
    g_auto(Group) tcp = {0};
    group_open(&tcp, "tcp://[::]:0");
    check_steering(&tcp, tcp_heard_by, sender6, "::1");
}

Test(endpoint, an_ipv6_address_leads_to_one_worker)
{
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        check_ipv6();
        _exit(0);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "its words stand above");
}

Test(endpoint, addresses_spread_evenly_over_any_number_of_workers)
{
    for (guint n = 2; n <= 16; n++) {
        guint load[16] = {0};
        for (guint i = 0; i < 4096; i++) {
            PstAddr addr = pst_addr_v4(0xc0a80000 + i * 256 + 1); /* one router a network */
            load[steer_worker(&addr, n)]++;
        }
        for (guint i = 0; i < n; i++) {
            cr_assert_gt(load[i], 4096 / n * 8 / 10, "%u of %u: %u", i, n, load[i]);
            cr_assert_lt(load[i], 4096 / n * 12 / 10 + 1, "%u of %u: %u", i, n, load[i]);
        }
    }
}

Test(endpoint, one_worker_takes_everything)
{
    PstAddr addr = pst_addr_v4(0xc0000201);
    cr_assert_eq(steer_worker(&addr, 1), 0);
}

Test(endpoint, a_second_collector_is_refused)
{
    static const char *const schemes[] = {"udp", "tcp"};
    static const guint numbers[] = {1, 2};
    for (guint s = 0; s < 2; s++) {
        for (guint first = 0; first < 2; first++) {
            g_autoptr(GError) error = NULL;
            g_autofree char *any = g_strdup_printf("%s://127.0.0.1:0", schemes[s]);
            int fds[2] = {-1, -1}, others[2];
            cr_assert(endpoint_open(any, numbers[first], fds, &error));
            g_autofree char *uri =
                g_strdup_printf("%s://127.0.0.1:%u", schemes[s], endpoint_port(fds[0]));
            for (guint second = 0; second < 2; second++) {
                g_autoptr(GError) refusal = NULL;
                cr_assert_not(endpoint_open(uri, numbers[second], others, &refusal));
                cr_assert(g_error_matches(refusal, PST_ERROR, PST_ERROR_IO));
                cr_assert(strstr(refusal->message, "another collector"), "%s", refusal->message);
            }
            for (guint i = 0; i < numbers[first]; i++)
                close(fds[i]);
        }
    }
}

Test(endpoint, what_came_too_early_is_not_counted_as_dropped_by_the_kernel)
{
    g_auto(Group) group = {0};
    group_open(&group, "udp://127.0.0.1:0");
    g_autoptr(Listener) listener = listener_new_take(dup(group.fds[0]), 65536);
    cr_assert_eq(listener_take_dropped(listener), 0);
}

Test(endpoint, refuses_what_is_no_address)
{
    static const char *const uris[] = {"",
                                       "udp://",
                                       "udp://127.0.0.1",
                                       "sctp://:1",
                                       "udp://host:2055",
                                       "tcp://host:4739",
                                       "udp://127.0.0.1:x",
                                       "udp://[::1]"};
    int fd;
    for (gsize i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(GError) error = NULL;
        cr_assert_not(endpoint_open(uris[i], 1, &fd, &error));
        cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE), "%s", uris[i]);
    }
    g_autoptr(GError) error = NULL;
    cr_assert_not(endpoint_open("udp://192.0.2.1:2055", 1, &fd, &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_IO));
}
