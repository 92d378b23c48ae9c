/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile exporter's datagrams cost a worker, beside what a good exporter's cost: processor
 * time in this process, from the datagram to the batch, and beside it what receiving a datagram of
 * that length costs. Prints JSON. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "export_builder.h"
#include "worker.h"

enum {
    RING = 256,
    SHORT = 1400,
    LONG = 65000,
    GOOD_RECORDS = 18,
    SENDER_GOOD = 0x0a000001,
    SENDER_BAD = 0x7f010001
};

typedef struct Attack Attack;
struct Attack {
    const char *name;
    /* Fills datagram number @i of the ring with about @room bytes. */
    void (*make)(Export *e, guint i, gsize room);
    gsize room;
    /* What is sent once before, from another port. May be NULL. */
    void (*prepare)(Export *e, guint i, gsize room);
    guint prepared;        /* datagrams of it */
    gboolean many_senders; /* each datagram from an address of its own */
};

static guint32 dice(void)
{
    return (guint32)random() << 16 ^ (guint32)random();
}

static gsize room_left(const Export *e, gsize room)
{
    return e->bytes->len < room ? room - e->bytes->len : 0;
}

/* --- the good exporter ------------------------------------------------------------------------ */

static const Field good_fields[] = {F(8, 4),   F(12, 4),  F(7, 2),   F(11, 2), F(4, 1),  F(6, 1),
                                    F(5, 1),   F(1, 8),   F(2, 8),   F(10, 4), F(14, 4), F(16, 4),
                                    F(17, 4),  F(152, 8), F(153, 8), F(9, 1),  F(13, 1), F(61, 1),
                                    F(136, 1), F(58, 2),  F(59, 2)};

static void good_record(Export *e, guint n)
{
    gboolean mail = n % 50 == 0;
    export_u32(e, 0xc6120000 | (dice() & 0xffff));
    export_u32(e, 0xcb000000 | (dice() & 0xffffff));
    export_u16(e, (guint16)(40000 + n % 20000));
    export_u16(e, mail ? 25 : 443);
    export_u8(e, 6);
    export_u8(e, 0x1b);
    export_u8(e, 0);
    export_u64(e, 4711);
    export_u64(e, 12);
    export_zeros(e, 16);
    export_u64(e, EXPORT_S * G_GUINT64_CONSTANT(1000));
    export_u64(e, EXPORT_S * G_GUINT64_CONSTANT(1000));
    export_zeros(e, 8);
}

static void good_template(Export *e, guint i, gsize room)
{
    export_template_of(e, 256, good_fields, G_N_ELEMENTS(good_fields));
}

static void good(Export *e, guint i, gsize room)
{
    export_data(e, 256);
    for (guint n = 0; n < GOOD_RECORDS; n++)
        good_record(e, i * GOOD_RECORDS + n);
}

/* --- the hostile ones ------------------------------------------------------------------------- */

static void random_bytes(Export *e, guint i, gsize room)
{
    g_byte_array_set_size(e->bytes, 0);
    while (room_left(e, room) >= 4)
        export_u32(e, dice());
}

static void random_sets(Export *e, guint i, gsize room)
{
    while (room_left(e, room) >= 4)
        export_u32(e, dice());
}

static void lying_sets(Export *e, guint i, gsize room)
{
    export_u16(e, 256);
    export_u16(e, 65535);
    export_zeros(e, room_left(e, room));
}

/* One field each, a number that was not there before. */
static void new_templates(Export *e, guint i, gsize room)
{
    guint32 number = i * 6000;
    export_set(e, 2);
    while (room_left(e, room) >= 8) {
        export_u16(e, (guint16)(256 + number++ % 65000));
        export_u16(e, 1);
        export_u16(e, 8);
        export_u16(e, 4);
    }
}

/* The same numbers, each time with another layout. */
static void changed_templates(Export *e, guint i, gsize room)
{
    guint32 number = 0;
    export_set(e, 2);
    while (room_left(e, room) >= 8) {
        export_u16(e, (guint16)(256 + number++ % 16));
        export_u16(e, 1);
        export_u16(e, 8);
        export_u16(e, (guint16)(4 + (i + number / 16) % 2));
    }
}

static void changed_wide_templates(Export *e, guint i, gsize room)
{
    guint round = 0;
    while (room_left(e, room) >= 4 + 4 + 4 * TEMPLATE_FIELDS_MAX) {
        export_set(e, 2);
        export_u16(e, 256);
        export_u16(e, TEMPLATE_FIELDS_MAX);
        for (guint n = 0; n < TEMPLATE_FIELDS_MAX; n++) {
            export_u16(e, (guint16)(1 + n % 300));
            export_u16(e, (guint16)(1 + (n + i + round) % 2 * 3));
        }
        round++;
    }
}

/* Full of sets that wait for a template, while others are told and told again. */
static void held_and_changed(Export *e, guint i, gsize room)
{
    for (guint n = 0; n < 8; n++) {
        export_set(e, 60000);
        export_zeros(e, 8);
    }
    export_end_set(e);
    changed_templates(e, i, room);
}

static void held_sets(Export *e, guint i, gsize room)
{
    for (guint n = 0; room_left(e, room) >= 5; n++) {
        export_set(e, (guint16)(10000 + n % 5000));
        export_zeros(e, MIN(room_left(e, room), 8));
    }
}

static void options_template(Export *e, guint i, gsize room)
{
    export_options(e, 300, 1, F(302, 2), F(34, 1));
}

/* Selectors without end. */
static void options_storm(Export *e, guint i, gsize room)
{
    export_set(e, 300);
    while (room_left(e, room) >= 3) {
        export_u16(e, (guint16)dice());
        export_u8(e, (guint8)(1 + dice() % 200));
    }
}

static void byte_template(Export *e, guint i, gsize room)
{
    export_template(e, 257, F(4, 1));
}

static void byte_records(Export *e, guint i, gsize room)
{
    export_set(e, 257);
    for (gsize n = room_left(e, room); n > 0; n--)
        export_u8(e, 6);
}

/* A port of one byte: the plan cannot look at it unread. */
static void odd_template(Export *e, guint i, gsize room)
{
    export_template(e, 257, F(7, 1));
}

/* Variable length all over: each record is a list of cuts. */
static void varying_template(Export *e, guint i, gsize room)
{
    export_set(e, 2);
    export_u16(e, 257);
    export_u16(e, TEMPLATE_FIELDS_MAX);
    for (guint n = 0; n < TEMPLATE_FIELDS_MAX; n++) {
        export_u16(e, n == 0 ? 11 : 293); /* subTemplateMultiList */
        export_u16(e, n == 0 ? 2 : FIELD_VARIABLE);
    }
}

static void varying_records(Export *e, guint i, gsize room)
{
    export_set(e, 257);
    export_zeros(e, room_left(e, room));
}

static void tiny_sets(Export *e, guint i, gsize room)
{
    while (room_left(e, room) >= 5) {
        export_set(e, 257);
        export_u8(e, 6);
    }
}

static void empty_sets(Export *e, guint i, gsize room)
{
    while (room_left(e, room) >= 4)
        export_set(e, 257);
}

/* RFC 7011 §8.1: "all templates", again and again. */
static void withdrawals(Export *e, guint i, gsize room)
{
    export_set(e, 2);
    while (room_left(e, room) >= 4) {
        export_u16(e, 2);
        export_u16(e, 0);
    }
}

/* Messages of nothing but a header, each of another domain. */
static void many_domains(Export *e, guint i, gsize room)
{
    g_byte_array_set_size(e->bytes, 0);
    for (guint n = 0; room_left(e, room) >= 16; n++) {
        export_u16(e, VERSION_IPFIX);
        export_u16(e, 16);
        export_u32(e, EXPORT_S);
        export_u32(e, n);
        export_u32(e, 1 + (i * 4000 + n) % 200);
    }
}

static void domain_of_its_own(Export *e, guint i, gsize room)
{
    g_byte_array_set_size(e->bytes, 12);
    export_u32(e, 1000 + i % 127);
    byte_template(e, i, room);
    export_set(e, 257);
    export_u8(e, 6);
}

static void template_and_record(Export *e, guint i, gsize room)
{
    byte_template(e, i, room);
    export_set(e, 257);
    export_u8(e, 6);
}

static void mail_template(Export *e, guint i, gsize room)
{
    export_template(e, 257, F(8, 4), F(11, 2), F(4, 1));
}

/* The shortest records that are published. */
static void mail_records(Export *e, guint i, gsize room)
{
    export_set(e, 257);
    while (room_left(e, room) >= 7) {
        export_u32(e, 0xc6120000 | (dice() & 0xffff));
        export_u16(e, 25);
        export_u8(e, 6);
    }
}

static const Attack attacks[] = {
    {"good: 18 records", good, SHORT, good_template, 1},
    {"random bytes", random_bytes, SHORT},
    {"random sets", random_sets, SHORT},
    {"lengths that lie", lying_sets, SHORT},
    {"new template numbers", new_templates, SHORT},
    {"new template numbers, 64 KB", new_templates, LONG},
    {"changed templates", changed_templates, SHORT},
    {"changed templates, 64 KB", changed_templates, LONG},
    {"changed templates of 1,024 fields", changed_wide_templates, LONG},
    {"changed templates, held sets", held_and_changed, SHORT, held_sets, 400},
    {"held sets of eight bytes", held_sets, SHORT},
    {"held sets, 64 KB", held_sets, LONG},
    {"options: selectors without end", options_storm, SHORT, options_template, 1},
    {"options, 64 KB", options_storm, LONG, options_template, 1},
    {"65,000 records of one byte", byte_records, LONG, byte_template, 1},
    {"records of one odd byte", byte_records, LONG, odd_template, 1},
    {"1,023 lists of variable length", varying_records, LONG, varying_template, 1},
    {"sets of one record of one byte", tiny_sets, LONG, byte_template, 1},
    {"the same beside 127 domains", tiny_sets, LONG, domain_of_its_own, 128},
    {"empty sets", empty_sets, LONG, byte_template, 1},
    {"withdrawals of everything", withdrawals, LONG, new_templates, 4},
    {"headers of 200 domains", many_domains, LONG},
    {"senders without end", template_and_record, SHORT, NULL, 0, TRUE},
    {"mail, records of 7 bytes", mail_records, SHORT, mail_template, 1},
};

/* --- the measurement -------------------------------------------------------------------------- */

static gint64 cpu_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return at.tv_sec * NS_PER_S + at.tv_nsec;
}

static GByteArray *build(void (*make)(Export *, guint, gsize), guint i, gsize room)
{
    Export e = export_ipfix(.domain = 0, .sequence = i * GOOD_RECORDS);
    make(&e, i, room);
    export_end_set(&e);
    if (e.bytes->len >= 4 && make != random_bytes && make != many_domains)
        export_patch16(&e, 2, e.bytes->len);
    return e.bytes;
}

static void deliver(Worker *worker, const GByteArray *bytes, guint32 sender, guint16 port,
                    gint64 at_ns)
{
    worker_datagram(worker,
                    &(Datagram){.payload = bytes->data,
                                .len = bytes->len,
                                .sender = pst_addr_v4(sender),
                                .port = port,
                                .kernel_ns = at_ns},
                    at_ns);
}

static Worker *open_worker(const char *output, gboolean all, const PortSet *ports, PstStats *stats)
{
    Rules *rules = g_new0(Rules, 1);
    PstPrefix ours;
    g_assert(pst_prefix_parse("198.18.0.0/15", 13, TRUE, &ours));
    rules->networks = pst_prefix_map_new();
    pst_prefix_map_add(rules->networks, &ours, 1);
    pst_prefix_map_seal(rules->networks);
    g_autoptr(GError) error = NULL;
    Worker *worker = worker_new(&(WorkerOptions){.publisher = {.output = output,
                                                               .all = all,
                                                               .partitions = 4,
                                                               .batch_bytes = 65536,
                                                               .batch_ms = 200,
                                                               .queue_bytes = 64 << 20,
                                                               .producer = "bench",
                                                               .epoch = 1,
                                                               .delivery_timeout_ms = 10000},
                                                 .ports = ports,
                                                 .exporters_max = EXPORTERS_MAX_DEFAULT,
                                                 .hold_bytes_max = 32 << 20,
                                                 .hold_domain_bytes = 256 << 10,
                                                 .hold_s = 60,
                                                 .template_lifetime_s = 1800,
                                                 .stats = stats},
                                rules, &error);
    if (worker == NULL)
        g_error("%s", error->message);
    return worker;
}

static void tick(Worker *worker, gint64 at_ns)
{
    g_autoptr(GError) error = NULL;
    if (!worker_tick_at(worker, at_ns, &error))
        g_error("%s", error->message);
}

/* Nanoseconds that recvmmsg takes for one datagram of @len bytes that waits already. */
static double measure_receive(gsize len)
{
    enum { BATCH = 16, ROUNDS = 200 };
    static guint8 bytes[BATCH][65536];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof to;
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0), room = 8 << 20;
    g_assert(bind(in, (struct sockaddr *)&to, size) == 0);
    g_assert(getsockname(in, (struct sockaddr *)&to, &size) == 0);
    (void)setsockopt(in, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    struct iovec vectors[BATCH];
    struct mmsghdr headers[BATCH] = {0};
    for (guint i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){.iov_base = bytes[i], .iov_len = sizeof bytes[i]};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    gint64 spent_ns = 0, taken = 0;
    for (guint round = 0; round < ROUNDS; round++) {
        for (guint i = 0; i < BATCH; i++)
            (void)sendto(out, bytes[i], len, 0, (struct sockaddr *)&to, size);
        gint64 start_ns = cpu_ns();
        int n = recvmmsg(in, headers, BATCH, MSG_DONTWAIT, NULL);
        spent_ns += cpu_ns() - start_ns;
        taken += MAX(n, 0);
    }
    close(in);
    close(out);
    return (double)spent_ns / (double)MAX(taken, 1);
}

/* Nanoseconds of one datagram. */
static double measure(Worker *worker, const Attack *attack, gint64 budget_ns, gsize *out_len)
{
    g_autoptr(GPtrArray) ring = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    *out_len = 0;
    for (guint i = 0; i < RING; i++) {
        GByteArray *bytes = build(attack->make, i, attack->room);
        g_ptr_array_add(ring, bytes);
        *out_len += bytes->len;
    }
    *out_len /= RING;
    gint64 now_ns = EXPORT_S * NS_PER_S;
    guint32 sender = attack->make == good ? SENDER_GOOD : SENDER_BAD;
    for (guint i = 0; i < attack->prepared; i++) {
        g_autoptr(GByteArray) bytes = build(attack->prepare, i, attack->room);
        deliver(worker, bytes, sender, attack->make == withdrawals ? 1000 : 2000, now_ns);
    }
    guint64 sent = 0;
    gint64 start_ns = cpu_ns(), spent_ns = 0;
    while (spent_ns < budget_ns) {
        for (guint i = 0; i < RING; i++) {
            now_ns += NS_PER_S / 10000;
            deliver(worker, g_ptr_array_index(ring, i),
                    attack->many_senders ? SENDER_BAD + (guint32)sent : sender, 2000, now_ns);
            sent++;
        }
        tick(worker, now_ns);
        spent_ns = cpu_ns() - start_ns;
    }
    return (double)spent_ns / (double)sent;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bench_hostile OUTPUT smtp|all MILLISECONDS\n");
        return 2;
    }
    gboolean all = strcmp(argv[2], "all") == 0;
    gint64 budget_ns = g_ascii_strtoll(argv[3], NULL, 10) * (NS_PER_S / 1000);
    PortSet ports = {0};
    portset_add(&ports, 25);
    printf("[");
    for (guint i = 0; i < G_N_ELEMENTS(attacks); i++) {
        g_autoptr(PstStats) stats = pst_stats_new();
        Worker *worker = open_worker(argv[1], all, &ports, stats);
        gsize len;
        double ns = measure(worker, &attacks[i], budget_ns, &len);
        printf("%s\n{\"name\": \"%s\", \"bytes\": %zu, \"ns\": %.1f, \"receive_ns\": %.1f}",
               i > 0 ? "," : "", attacks[i].name, len, ns, measure_receive(len));
        worker_free(worker);
    }
    printf("\n]\n");
    return 0;
}
