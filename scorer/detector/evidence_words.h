/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Evidence in words: the reasons of a verdict, each with its share of the score, a sentence that a
 * customer understands, and the numbers in it for programs (docs/detector.md). The vocabulary of
 * names is fixed; they stand in SQL and in the API:
 *
 *   burst             the winning cell and the envelope it exceeded; the evidence's points
 *   gate              evidence held back until enough sessions are certain; points below zero
 *   few-servers       evidence held back as long as its sessions go to few servers; below zero
 *   magnitude         sessions and destinations, with the lower bound where traffic is sampled
 *   failed-openings   share of openings that were not answered or refused; 1:1 only
 *   ports             which mail ports
 *   exporters         who saw it, and how densely
 *   submission-server, exemption-ceiling, dead-destinations, new-customer
 *                     adjustments (adjust.h); their points
 *   neighbourhood     the /24 or /56 that stood out as one; this address took part
 *   late-records      what came too late to be scored
 */
#include "episode.h"

typedef struct {
    const Episode *episode;
    const Peak *peak; /* winning cell */
    const EpisodeGate *gate;
    double usual; /* the most that such a window usually holds; 0: nothing learned */
    const Adjustment *adjust;
    const char *neighbourhood; /* that crossed; NULL: the unit itself */
    double low;                /* its lower bound on true sessions */
} WordsFacts;

/* Appends the reasons to @verdict, whose other fields are filled. */
void evidence_words(PstVerdict *verdict, const WordsFacts *facts);
