/* SPDX-License-Identifier: Apache-2.0 */
/* The traffic generator: the same seed gives the same traffic, in whatever company, and routers
 * tell of it what sampling leaves. */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <math.h>
#include <unistd.h>

#include "cast.h"
#include "codec.h"
#include "router.h"

static Scene *scene;

static void setup(void)
{
    g_autoptr(GError) error = NULL;
    scene = scene_load(TRAFFIC_DIR "/classes.conf", &error);
    cr_assert_not_null(scene, "%s", error != NULL ? error->message : "");
}

static void teardown(void)
{
    scene_free(scene);
}

TestSuite(traffic, .init = setup, .fini = teardown);

static const CastPlan small = {
    .seed = 7, .span = {2, 3}, .addresses = 3000, .trials = 1, .shards = 1};

static Cast cast_of(CastPlan plan)
{
    Cast cast;
    plan.scene = scene;
    cr_assert(cast_init(&cast, &plan));
    return cast;
}

static Scene *read_scene(const char *text, GError **error)
{
    g_autofree char *path = NULL;
    close(g_file_open_tmp("classes-XXXXXX", &path, NULL));
    cr_assert(g_file_set_contents(path, text, -1, NULL));
    Scene *read = scene_load(path, error);
    g_unlink(path);
    return read;
}

#define EVERY_KIND                                                                                 \
    "[a]\nunits = 9000\nnew = yes\n"                                                               \
    "[a mail]\nper_day = 30 ~2 >5 <100\nswing = 1.5\nweekend = 0.5\nclock = office\n"              \
    "to = providers 3, five 1, circle(20) 3, list(9) 1, fixed(2) 1, strangers 2\n"                 \
    "again = 0.2\ninbound = 0.7\ngrowth = 1.5\ngrowth_from = 9\n"                                  \
    "[a weekly]\nwhen = weekly\nsize = 20 ~2\nrate = 3 ~2\nto = one 1\nseconds = 40 ~2\n"          \
    "[b]\nunits = 5000\nipv6 = yes\n[b mail]\nper_day = 9\nrotate = yes\nport = 587 7, 465 3\n"    \
    "[c]\nkind = spam\non = a\nunits = 3\n[c spam]\nwhen = once\nsize = 300\nhosts = 64\n"         \
    "[d]\nunits = 400\n[d probe]\nwhen = daily\nsize = 50\neven = yes\nfailed = 0.5\n"

#define EXPECTED_SUM "0b0d6090ba009f21a80f79e3512e873e502b1a1cf9b4c6b9228c6ea4b928478a"

/* A checksum over every byte that a cast's flows would have on the bus; @out_flows their number. */
static char *played(const Cast *cast, const View *view, guint64 *out_flows)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autoptr(GArray) sessions = g_array_new(FALSE, FALSE, sizeof(Session));
    Router *router = router_new(view, cast->plan.seed);
    gint64 last_ns = 0;
    *out_flows = 0;
    for (gint day = 0; day < 5; day++) {
        for (guint i = 0; i < cast->n; i++) {
            g_array_set_size(sessions, 0);
            life_day(&cast->lives[i], day, i, sessions);
            router_see(router, &cast->lives[i], day, (Session *)(void *)sessions->data,
                       sessions->len);
        }
        guint n;
        const Record *records = router_take(router, (FIRST_DAY + day + 1) * DAY_NS, &n);
        for (guint i = 0; i < n; i++) {
            PstFlow flow;
            guint8 bytes[PST_CODEC_FLOW_MAX];
            cr_assert_geq(records[i].arrival_ns, last_ns, "in the order of arrival");
            last_ns = records[i].arrival_ns;
            router_flow(router, &records[i], &cast->lives[records[i].life], &flow);
            g_checksum_update(sum, bytes, (gssize)pst_codec_put_flow(bytes, &flow));
            ++*out_flows;
        }
    }
    router_free(router);
    return g_strdup(g_checksum_get_string(sum));
}

Test(traffic, same_seed_is_the_same_to_the_last_byte_everywhere)
{
    /* The sum was written down once: it is the same on every machine. A change of a model changes
     * it, and tests/data/detector.json with it. */
    const View view = {.rate = 3, .directions = 2, .routers = 2};
    CastPlan plan = small;
    g_autoptr(Scene) own = read_scene(EVERY_KIND, NULL);
    plan.scene = own;
    Cast cast;
    cr_assert(cast_init(&cast, &plan));
    guint64 flows;
    g_autofree char *sum = played(&cast, &view, &flows);
    cr_assert_str_eq(sum, EXPECTED_SUM, "%" G_GUINT64_FORMAT " flows, %s", flows, sum);
    cast_clear(&cast);
}

Test(traffic, a_life_is_the_same_in_whatever_shard_it_plays)
{
    Cast all = cast_of(small);
    guint found = 0;
    for (guint shard = 0; shard < 3; shard++) {
        CastPlan plan = small;
        plan.shard = shard;
        plan.shards = 3;
        Cast part = cast_of(plan);
        for (guint i = 0; i < part.n; i++)
            for (guint j = 0; j < all.n; j++)
                if (all.lives[j].class == part.lives[i].class &&
                    all.lives[j].number == part.lives[i].number) {
                    cr_assert_eq(all.lives[j].seed, part.lives[i].seed);
                    found++;
                }
        cast_clear(&part);
    }
    cr_assert_eq(found, all.n, "each life is in one shard");
    cast_clear(&all);
}

Test(traffic, every_address_leads_back_to_its_life)
{
    Cast cast = cast_of(small);
    for (guint i = 0; i < cast.n; i++)
        for (guint32 host = 0; host < cast.lives[i].hosts; host += 7) {
            const Session session = {.host = host};
            PstAddr addr = life_addr(&cast.lives[i], &session);
            PstPrefix unit = pst_prefix_of(&addr, addr.family == PST_AF_INET ? 32 : 64);
            cr_assert_eq(cast_find(&cast, &unit), (gint)i);
        }
    PstPrefix stranger;
    cr_assert(pst_prefix_parse("192.0.2.1", 9, TRUE, &stranger));
    cr_assert_eq(cast_find(&cast, &stranger), -1);
    cast_clear(&cast);
}

/* Sessions of @k packets in one direction that leave a record at 1:@rate. */
static double share_seen(guint32 rate, guint k, guint routers)
{
    const View view = {.rate = rate, .directions = 1, .routers = routers};
    CastPlan plan = small;
    plan.scene = scene;
    Life life;
    life_begin(&life, scene, scene_class(scene, 0), 1, 0, &plan.span);
    g_autofree Session *sessions = g_new0(Session, 20000);
    for (guint i = 0; i < 20000; i++)
        sessions[i] = (Session){.start_ns = FIRST_DAY * DAY_NS + i,
                                .packets = (guint16)k,
                                .ms = 1000,
                                .client_port = (guint16)i,
                                .port = 25};
    Router *router = router_new(&view, 3);
    router_see(router, &life, 0, sessions, 20000);
    guint n;
    const Record *records = router_take(router, (FIRST_DAY + 1) * DAY_NS, &n);
    g_autofree guint8 *seen = g_new0(guint8, 65536);
    guint different = 0, packets = 0;
    for (guint i = 0; i < n; i++) {
        different += !seen[records[i].client_port];
        seen[records[i].client_port] = 1;
        packets += records[i].packets;
    }
    cr_assert_float_eq(packets, 20000.0 * k * routers / rate,
                       5 * sqrt(20000.0 * k * routers / rate) + 1, "packets thin by 1:N");
    router_free(router);
    return different / 20000.0;
}

Test(traffic, packets_are_thinned_one_by_one)
{
    cr_assert_eq(share_seen(1, 14, 1), 1);
    cr_assert_float_eq(share_seen(100, 14, 1), 1 - pow(0.99, 14), 0.012);
    cr_assert_float_eq(share_seen(1000, 300, 1), 1 - pow(0.999, 300), 0.014);
    cr_assert_float_eq(share_seen(100, 14, 2), 1 - pow(0.99, 28), 0.015, "two routers see more");
}

Test(traffic, long_sessions_are_told_in_pieces_and_silent_ones_after_the_timeout)
{
    const View view = {.rate = 1, .directions = 1, .routers = 1};
    CastPlan plan = small;
    Life life;
    life_begin(&life, scene, scene_class(scene, 0), 1, 0, &plan.span);
    const gint64 start = FIRST_DAY * DAY_NS;
    const Session sessions[] = {
        {.start_ns = start, .packets = 200, .ms = 150000, .port = 25, .client_port = 1},
        {.start_ns = start, .packets = 3, .ms = 3000, .port = 25, .client_port = 2, .failed = 1},
    };
    Router *router = router_new(&view, 3);
    router_see(router, &life, 0, sessions, 2);
    guint n, pieces = 0;
    const Record *records = router_take(router, start + DAY_NS, &n);
    for (guint i = 0; i < n; i++) {
        pieces += records[i].client_port == 1;
        gint64 lag_ns = records[i].arrival_ns - records[i].end_ns;
        if (records[i].client_port == 2)
            cr_assert(lag_ns > 16 * G_GINT64_CONSTANT(1000000000) &&
                      lag_ns < 20 * G_GINT64_CONSTANT(1000000000));
    }
    cr_assert_eq(pieces, 3, "active timeout of 60 s");
    router_free(router);
}

/* --- descriptions -------------------------------------------------------------------------- */

static char *complaint_about(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Scene) read = read_scene(text, &error);
    return read != NULL ? g_strdup("") : g_strdup(error->message);
}

Test(traffic, what_is_monthly_happens_every_30_days)
{
    CastPlan plan = small;
    g_autoptr(Scene) own =
        read_scene("[a]\nunits = 300\n[a run]\nwhen = monthly\nsize = 7\n", NULL);
    plan.scene = own;
    Cast cast;
    cr_assert(cast_init(&cast, &plan));
    cr_assert_gt(cast.n, 0);
    g_autoptr(GArray) sessions = g_array_new(FALSE, FALSE, sizeof(Session));
    for (guint i = 0; i < cast.n; i++) {
        gint last = -1;
        for (gint day = 0; day < 90; day++) {
            g_array_set_size(sessions, 0);
            life_day(&cast.lives[i], day, i, sessions);
            if (sessions->len == 0)
                continue;
            cr_assert(last < 0 ? day < 30 : day == last + 30);
            last = day;
        }
        cr_assert_geq(last, 60);
    }
    cast_clear(&cast);
}

Test(traffic, the_other_classes_are_described_rightly)
{
    GError *error = NULL;
    g_autoptr(Scene) offices = scene_load(TRAFFIC_DIR "/offices.conf", &error);
    cr_assert_not_null(offices, "%s", error != NULL ? error->message : "");
}

Test(traffic, a_description_that_is_wrong_is_named)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"[a]\nunits = 5\n[a b]\nper_day = 3 ~2\nto = circle(4) 1, one 2\n", ""},
        {"[a]\nunitz = 5\n", "[a] unitz: there is no such key"},
        {"[a]\nunits = many\n", "[a] units"},
        {"[b c]\nsize = 3\n", "[b c]"},
        {"[a]\n[a b]\nsize = 3 ~0.5\n", "[a b] size: an amount is wanted"},
        {"[a]\n[a b]\nto = circle 3\n", "[a b] to"},
        {"[a]\n[a b]\nport = 25\n", "[a b] port"},
        {"[a]\nkind = ham\n", "[a] kind"},
        {"[a]\non = b\n", "[a] on: there is no such class"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *said = complaint_about(cases[i].text);
        if (*cases[i].complaint == '\0')
            cr_assert_str_eq(said, "");
        else
            cr_assert_not_null(strstr(said, cases[i].complaint), "%s: %s", cases[i].text, said);
    }
}

Test(traffic, the_logarithm_and_its_inverse_are_right)
{
    for (double x = 1e-12; x < 1e12; x *= 1.37) {
        cr_assert_float_eq(luck_log(x), log(x), 1e-13 * (1 + fabs(log(x))));
        cr_assert_float_eq(luck_exp(luck_log(x)) / x, 1, 1e-13);
    }
}
