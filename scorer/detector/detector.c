/* SPDX-License-Identifier: Apache-2.0 */
#include "detector.h"

#include <math.h>

#define ATTENTION (CELLS * 1.0) /* M where evidence begins */
#define UNGATED   590           /* highest score while the gate is shut */
#define NEWCOMER  10            /* times the gate */

#define WITNESSES      3 /* sightings that are a burst */
#define WITNESSES_COLD 4 /* … of a unit without history, unless they are scarce */

double detector_lower_bound(double n, double q)
{
    double v = 1 - q;
    if (n <= 0 || v <= 0)
        return MAX(n, 0);
    double root = 1 - v / (9 * n) - 1.645 * sqrt(v) / (3 * sqrt(n));
    return root <= 0 ? 0 : n * root * root * root;
}

double detector_certain(double seen, double sampling)
{
    return detector_lower_bound(seen, 1 / sampling) * sampling;
}

/* Sums over the pairs; q̄ is theirs weighted by what each saw. */
static void count(const Standing *standing, const Law *laws, const Block *const *blocks,
                  gint64 open_s, gint64 at_s, Assessment *out)
{
    double real = 0;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        if (blocks[pair] == NULL)
            continue;
        double n = block_sessions(blocks[pair], &laws[pair], open_s, at_s);
        out->pairs |= 1u << pair;
        out->most = MAX(out->most, (double)blocks[pair]->r);
        out->seen += n;
        real += n * (double)blocks[pair]->r;
        out->destinations += block_destinations(blocks[pair], &laws[pair], open_s, at_s);
        out->recent += block_recent(blocks[pair], &laws[pair], open_s, at_s);
    }
    out->sampling = out->seen > 0 ? real / out->seen : 1;
    out->low = detector_certain(out->seen, out->sampling);
    /* What the day of a mail server adds up to over hours is no burst: of units that have no
     * history to be held against, a pace is asked for. */
    out->burst = standing->known ? out->seen : MIN(MAX(out->recent, standing->recent), out->seen);
}

/* What a band asks of a count of sessions: the lower bound on true ones, their estimate n/q̄, n
 * itself; and servers. */
typedef struct {
    double count;
    double low, real, seen;
    guint servers;
} Gate;

static double gate_height(const EngineConf *conf, const Standing *standing)
{
    if (!standing->known)
        return conf->gate_cold;
    return standing->newcomer ? NEWCOMER * conf->gate_known : conf->gate_known;
}

static Gate gate_of(const EngineConf *conf, const Standing *standing, const Assessment *now,
                    PstBand band)
{
    double height = gate_height(conf, standing);
    /* Fewer sightings are no burst, whatever they stand for. Where each stands for very many, slow
     * spam shows too few of them within an hour: there only the block asks for a pace. */
    gboolean scarce = thinning_is_scarce(now->sampling);
    double witnesses = standing->known || scarce ? WITNESSES : WITNESSES_COLD;
    switch (band) {
    case PST_BAND_FLAG:
        return (Gate){.count = scarce ? now->seen : now->burst,
                      .low = MAX(height, detector_certain(witnesses, now->sampling)),
                      .servers = standing->wanted};
    case PST_BAND_BLOCK:
        return (Gate){.count = now->burst,
                      .low = 2 * height,
                      .real = standing->known ? 0 : 3 * height,
                      .seen = witnesses,
                      .servers = standing->wanted};
    case PST_BAND_WATCH:
    case PST_BAND_COUNT:
    default:
        return (Gate){0};
    }
}

static gboolean opens(const Gate *gate, const Standing *standing, const Assessment *now)
{
    return detector_certain(gate->count, now->sampling) >= gate->low &&
           gate->count * now->sampling >= gate->real && gate->count >= gate->seen &&
           standing->servers >= gate->servers;
}

void detector_assess(const EngineConf *conf, const Standing *standing, const Law *laws,
                     const Block *const *blocks, gint64 open_s, gint64 at_s, Assessment *out)
{
    out->peak = (Peak){0};
    out->seen = out->destinations = out->recent = 0;
    out->bands = out->pairs = 0;
    out->most = 1;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        if (blocks[pair] != NULL)
            block_peak(blocks[pair], &laws[pair], (PstPortPair)pair, open_s, at_s, &out->peak,
                       &out->reach[pair]);
    out->evidence = evidence_of(out->peak.m_value);
    count(standing, laws, blocks, open_s, at_s, out);
    for (guint band = 0; band < PST_BAND_COUNT; band++) {
        Gate gate = gate_of(conf, standing, out, (PstBand)band);
        gboolean open = opens(&gate, standing, out);
        if (band == PST_BAND_FLAG) {
            out->gate = gate.low;
            out->gate_low = detector_certain(gate.count, out->sampling);
            out->gate_open = open;
        }
        /* What speaks for the unit counts for bands with consequences; what speaks against it only
         * orders the queue. */
        double excused = band == PST_BAND_WATCH ? 0 : MIN(standing->adjust, 0);
        if (out->evidence + excused >= conf->band_at[band] && open)
            out->bands |= BAND_BIT(band);
    }
    double score = out->gate_open ? out->evidence + standing->adjust : MIN(out->evidence, UNGATED);
    out->score = (int)floor(CLAMP(score, 0, 1000));
}

static guint32 credit_to(const Assessment *now, double target)
{
    guint32 credit = G_MAXUINT32;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        if (now->pairs & 1u << pair)
            credit = MIN(credit, reach_credit(&now->reach[pair], target));
    return credit;
}

guint32 detector_evidence_credit(const Assessment *now, double evidence)
{
    return credit_to(now, evidence_to_m(evidence));
}

guint32 detector_credit(const EngineConf *conf, const Standing *standing, const Assessment *now,
                        PstBand band)
{
    double target = band == PST_BAND_COUNT ? ATTENTION : evidence_to_m(conf->band_at[band]);
    guint32 by_evidence = credit_to(now, target);
    /* The lower bound is below the estimate: both evidence and estimate must get there. */
    Gate gate = gate_of(conf, standing, now, band);
    double missing = (MAX(gate.low, gate.real) - gate.count * now->sampling) / now->most;
    missing = MAX(missing, gate.seen - gate.count);
    missing = MAX(missing, (double)gate.servers - standing->servers);
    guint32 by_gate = missing > 2 ? (guint32)(missing - 2) : 0;
    return MAX(by_evidence, by_gate);
}
