/* SPDX-License-Identifier: Apache-2.0 */
#include "envelope.h"

#include <math.h>

#define LONG 4 /* scale whose windows make up the day's count */
#define MEAN 8 /* so many times the mean is usual */

/* ln 2 / ln 1.001 = 693.5 steps halve: 49.53 a day over 14 days, by turns 49 and 50. */
static int fade_steps(gint64 day)
{
    return 49 + (int)parity_of(day);
}

/* Factors as steps. */
#define TIMES_2  693
#define TIMES_4  1387
#define TIMES_16 2774

/* τ as steps. */
static const int tau_steps[SCALES] = {2304, 4096, 5707, 7499, 9292};

G_STATIC_ASSERT(sizeof(Learned) == 144);

void learned_window(const Thinning *thinning, Learned *learned, gint64 day, Channel channel,
                    guint scale, guint32 n)
{
    Rank *most = &learned->most[parity_of(day)][channel][scale];
    *most = MAX(*most, thinning_rank(thinning, n));
    if (scale == LONG)
        learned->count[parity_of(day)][channel] += n;
}

gboolean learned_matters(const Thinning *thinning, Channel channel, guint scale, guint16 code,
                         guint32 n)
{
    /* A day of eight long windows with n each has the mean 8n, and 8·mean·τ/86400 is 8n. */
    int half = thinning_rank(thinning, n) - 1 + (scale == LONG ? TIMES_16 : TIMES_2);
    return half >= thinning_floor(thinning, TRUE, channel, scale, code);
}

void learned_take_day(Learned *learned, gint64 day, PstPortPair pair, DayData *out)
{
    guint parity = parity_of(day);
    memcpy(out->most[pair], learned->most[parity], sizeof out->most[pair]);
    memcpy(out->count[pair], learned->count[parity], sizeof out->count[pair]);
    out->rate[pair] = learned->rate;
    memset(learned->most[parity], 0, sizeof learned->most[parity]);
    memset(learned->count[parity], 0, sizeof learned->count[parity]);
}

static void learn_count(Learned *learned, guint channel, double count, guint age)
{
    float share = 1.0F / (float)MAX(learned->days, 1);
    learned->mean_long[channel] += ((float)count - learned->mean_long[channel]) * share;
    if (age <= 1)
        learned->mean_short[channel] = (learned->mean_short[channel] + (float)count) / 2;
}

/* What was counted at R = data's rate stands for more sightings where these are denser now. */
static int denser(const Learned *learned, const DayData *data, PstPortPair pair)
{
    return MAX(0, data->rate[pair] - learned->rate);
}

static Rank aged(const Learned *learned, const DayData *data, PstPortPair pair, guint channel,
                 guint scale, guint age)
{
    int faded = (int)((gint64)(age > 0 ? age - 1 : 0) * 99 / 2);
    return rank_shift(data->most[pair][channel][scale], denser(learned, data, pair) - faded);
}

void learned_take_most(Learned *learned, const DayData *data, PstPortPair pair, guint age)
{
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++) {
            Rank *target = &learned->target[channel][scale];
            Rank seen = aged(learned, data, pair, channel, scale, age);
            if (seen > *target)
                learned->rested = 0;
            *target = MAX(*target, seen);
        }
}

void learned_take_in(const Thinning *thinning, Learned *learned, const DayData *data,
                     PstPortPair pair, guint age)
{
    double times = thinning_value(thinning, (guint16)denser(learned, data, pair));
    learned->days = (guint8)MIN(learned->days + 1, LEARNED_DAYS);
    for (guint channel = 0; channel < CHANNELS; channel++)
        learn_count(learned, channel, data->count[pair][channel] * times, age);
    learned_take_most(learned, data, pair, age);
}

void learned_vouch(Learned *learned, const DayData *data, PstPortPair pair, guint age, gint64 day)
{
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++) {
            Rank *record = &learned->record[parity_of(day)][channel][scale];
            *record = MAX(*record, aged(learned, data, pair, channel, scale, age));
        }
}

void learned_skip(Learned *learned, gboolean quiet)
{
    if (!quiet)
        return;
    learned->days = (guint8)MIN(learned->days + 1, LEARNED_DAYS);
    for (guint channel = 0; channel < CHANNELS; channel++)
        learn_count(learned, channel, 0, 1);
}

/* Everything counted so far as it would have been at a denser R. */
static void rescale(Learned *learned, int steps)
{
    for (guint channel = 0; channel < CHANNELS; channel++) {
        for (guint scale = 0; scale < SCALES; scale++) {
            Rank *const ranks[] = {
                &learned->most[0][channel][scale],   &learned->most[1][channel][scale],
                &learned->target[channel][scale],    &learned->record[0][channel][scale],
                &learned->record[1][channel][scale],
            };
            for (guint i = 0; i < G_N_ELEMENTS(ranks); i++)
                *ranks[i] = rank_shift(*ranks[i], steps);
        }
        float times = (float)pow(THINNING_STEP, steps);
        learned->mean_long[channel] *= times;
        learned->mean_short[channel] *= times;
        for (guint parity = 0; parity < 2; parity++)
            learned->mean[parity][channel] = thinning_shift(learned->mean[parity][channel], steps);
    }
}

void learned_fade(Learned *learned, gint64 day, guint16 code, gboolean vouched)
{
    int steps = fade_steps(day);
    gboolean held = vouched && learned->rested >= HOLD_FROM && learned->rested < HOLD_UNTIL;
    for (guint channel = 0; channel < CHANNELS && !held; channel++)
        for (guint scale = 0; scale < SCALES; scale++)
            learned->target[channel][scale] = rank_shift(learned->target[channel][scale], -steps);
    learned->rested = (guint8)MIN(learned->rested + 1, HOLD_UNTIL);
    if (code < learned->rate) {
        rescale(learned, learned->rate - code);
        learned->rate = code;
    } else {
        learned->rate = (guint16)MIN(learned->rate + steps, code);
    }
}

/* Where the record may rise to from @record: four times it, or the floor in sightings. */
static Rank next_record(const Thinning *thinning, Rank record, Rank target, Channel channel,
                        guint scale, guint16 code)
{
    /* The floor itself, q̄·floor: φ makes it smaller only for alarms. One sighting is no growth. */
    double floor = thinning_floor_count(thinning, channel, scale, code);
    Rank from = MAX(record, thinning_rank(thinning, (guint32)MAX(floor, 1)));
    return MIN(target, rank_shift(from, TIMES_4));
}

void learned_set_means(Learned *learned, gint64 day)
{
    for (guint channel = 0; channel < CHANNELS; channel++) {
        double mean = (double)MAX(learned->mean_long[channel], learned->mean_short[channel]);
        learned->mean[parity_of(day)][channel] = thinning_level(MEAN * mean / A_DAY_S);
    }
}

void learned_enforce(const Thinning *thinning, Learned *learned, gint64 day, guint16 code)
{
    guint from = parity_of(day - 1), to = parity_of(day);
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++)
            learned->record[to][channel][scale] =
                next_record(thinning, learned->record[from][channel][scale],
                            learned->target[channel][scale], (Channel)channel, scale, code);
    learned_set_means(learned, day);
}

Level learned_level(const Thinning *thinning, const Learned *learned, gint64 day, Channel channel,
                    guint scale, guint16 code)
{
    guint parity = parity_of(day);
    Level record = thinning_shrink(thinning, learned->record[parity][channel][scale]);
    Level mean = thinning_shift(learned->mean[parity][channel], tau_steps[scale]);
    return thinning_shift(MAX(record, mean), MAX(0, learned->rate - code));
}
