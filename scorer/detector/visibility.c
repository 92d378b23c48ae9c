/* SPDX-License-Identifier: Apache-2.0 */
#include "visibility.h"

#include "thinning.h"

#define PRIOR   32    /* openings that k0 is worth */
#define ENOUGH  16    /* openings before k is learned at all */
#define EVERY   16    /* openings after which q is computed again */
#define OF_LATE 4096  /* openings; then the old ones count half */
#define LARGEST 10000 /* packets of one record: what is more is no mail session */

#define RATE_MAX 1000000 /* N that is reckoned with: nobody samples thinner */

enum { SYN = 2 };

double visibility_packets(const Visibility *v, const EngineConf *conf, PstPortPair pair)
{
    double k0 = conf->session_packets[pair] * (v->both ? conf->both_directions : 1);
    if (v->openings[pair] < ENOUGH)
        return k0;
    /* Both ends of a session open it with a SYN. */
    double openings = v->openings[pair] / (v->both ? 2.0 : 1.0);
    double k = (PRIOR * k0 + v->packets[pair]) / (PRIOR + openings);
    return CLAMP(k, k0 / 2, 4 * k0);
}

static void find_q(Visibility *v, const EngineConf *conf)
{
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        v->q[pair] = thinning_q((double)MIN(v->rate, RATE_MAX),
                                visibility_packets(v, conf, (PstPortPair)pair));
}

void visibility_rate(Visibility *v, const EngineConf *conf, guint64 rate)
{
    rate = MAX(rate, 1);
    if (v->rate == rate)
        return;
    v->rate = rate;
    find_q(v, conf);
}

static gboolean tells_both(const Visibility *v)
{
    guint32 all = v->told[0] + v->told[1];
    return all >= 16 && 5 * MIN(v->told[0], v->told[1]) >= all;
}

static void learn_packets(Visibility *v, const EngineConf *conf, const PstFlow *flow,
                          PstPortPair pair)
{
    v->packets[pair] += (guint32)MIN(flow->packets + flow->reverse_packets, LARGEST);
    if (!(flow->tcp_flags & SYN))
        return;
    if (++v->openings[pair] % EVERY == 0)
        find_q(v, conf);
    if (v->openings[pair] >= OF_LATE || v->packets[pair] > G_MAXUINT32 / 2) {
        v->openings[pair] /= 2;
        v->packets[pair] /= 2;
    }
}

void visibility_tell(Visibility *v, const EngineConf *conf, const PstFlow *flow,
                     const Session *session, gboolean learn)
{
    v->told[session->reply ? 1 : 0]++;
    if (v->told[0] + v->told[1] >= 1024) {
        v->told[0] /= 2;
        v->told[1] /= 2;
    }
    guint32 both = tells_both(v);
    if (both != v->both) {
        v->both = both;
        find_q(v, conf);
    }
    if (learn && v->rate > 1 && (flow->has & PST_HAS_TCP_FLAGS))
        learn_packets(v, conf, flow, session->pair);
}
