/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http.h"

static PstStats *stats;
static PstHttp *http;
static gboolean is_ready;

static gboolean ready(gpointer user, GString *out_reasons)
{
    if (!is_ready)
        g_string_append(out_reasons, "database away for 12 s\n");
    return is_ready;
}

static void setup(void)
{
    g_autoptr(GError) error = NULL;
    stats = pst_stats_new();
    http = pst_http_open("127.0.0.1:0", stats, ready, NULL, &error);
    cr_assert_not_null(http, "%s", error != NULL ? error->message : "");
}

static void teardown(void)
{
    pst_http_close(http);
    pst_stats_free(stats);
}

/* One request, the whole answer. */
static const char *ask(const char *request)
{
    static char text[65536];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(pst_http_port(http)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    gsize n = 0;
    for (ssize_t got = 1; got > 0 && n < sizeof text - 1; n += (gsize)MAX(got, 0))
        got = read(fd, text + n, sizeof text - 1 - n);
    text[n] = '\0';
    close(fd);
    return text;
}

#define GET(path) ask("GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

TestSuite(http, .init = setup, .fini = teardown);

Test(http, shows_metrics)
{
    pst_cell_add(pst_stats_cell(stats, PST_COUNTER, "postern_x_total", NULL, "Xs."), 3);
    const char *text = GET("/metrics");
    cr_assert_not_null(strstr(text, "200 OK"), "%s", text);
    cr_assert_not_null(strstr(text, "\npostern_x_total 3\n"), "%s", text);
}

Test(http, metrics_tell_of_the_process_and_its_readiness)
{
    const char *text = GET("/metrics");
    cr_assert_not_null(strstr(text, "\npostern_ready 0\n"), "%s", text);
    cr_assert_not_null(strstr(text, "\nprocess_cpu_seconds_total "), "%s", text);
    cr_assert_not_null(strstr(text, "\nprocess_start_time_seconds 1"), "%s", text);
    const char *memory = strstr(text, "\nprocess_resident_memory_bytes ");
    cr_assert_not_null(memory, "%s", text);
    cr_assert_gt(g_ascii_strtod(memory + strlen("\nprocess_resident_memory_bytes "), NULL), 1e5);
    is_ready = TRUE;
    cr_assert_not_null(strstr(GET("/metrics"), "\npostern_ready 1\n"));
}

Test(http, is_healthy_while_it_answers)
{
    cr_assert_not_null(strstr(GET("/healthz"), "200 OK"));
}

Test(http, readiness_names_what_is_not_ready)
{
    const char *text = GET("/readyz");
    cr_assert_not_null(strstr(text, "503"), "%s", text);
    cr_assert_not_null(strstr(text, "database away for 12 s\n"), "%s", text);
    is_ready = TRUE;
    cr_assert_not_null(strstr(GET("/readyz"), "200 OK"));
}

Test(http, refuses_other_paths_and_methods)
{
    cr_assert_not_null(strstr(GET("/etc/passwd"), "404"));
    cr_assert_not_null(strstr(
        ask("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        "405"));
}

Test(http, refuses_addresses_that_are_none)
{
    static const char *const wrong[] = {"", "x:1", "127.0.0.1:65536", "127.0.0.1:", "1.2.3.4:-1"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        cr_assert_null(pst_http_open(wrong[i], stats, NULL, NULL, &error), "%s", wrong[i]);
        cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE), "%s", wrong[i]);
    }
}

Test(http, a_port_in_use_is_an_error_of_the_world)
{
    g_autofree char *same = g_strdup_printf("127.0.0.1:%u", pst_http_port(http));
    g_autoptr(GError) error = NULL;
    cr_assert_null(pst_http_open(same, stats, NULL, NULL, &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_IO));
}
