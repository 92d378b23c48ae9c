/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <stdint.h>

/*
 * A ring of export datagrams: made once from a seed, then sent round and round. What has to grow
 * with each pass (sequence number, export time) is patched just before a datagram leaves;
 * everything else is a constant of the seed, so two runs feed two programs the same flows.
 *
 * With v9 and IPFIX the first slots hold the templates, one per domain, so templates come first and
 * are repeated once a round.
 *
 * Several exporters take turns: each sends a whole round, and has sequence numbers of its own.
 * With a churn of N, each round of an exporter uses the next of N template numbers, and a number
 * that comes again comes with another definition.
 */

typedef enum {
    RING_V5,
    RING_V9,
    RING_IPFIX,
} RingDialect;

typedef struct {
    RingDialect dialect;
    uint64_t seed;
    unsigned slots;       /* data datagrams in the ring, >= 1 */
    unsigned records;     /* per datagram, 1 … ring_max_records() */
    unsigned domains;     /* observation domains that take turns, >= 1 */
    unsigned exporters;   /* that take turns, >= 1 */
    unsigned churn;       /* template numbers that take turns, >= 1 */
    double mail_share;    /* 0 … 1: share of records with port 25 on one side */
    uint32_t network;     /* our own network, host order */
    unsigned network_len; /* 8 … 30 */
    int64_t base_ms;      /* UTC of the first datagram; flow times lie up to a minute before it */
} RingSettings;

typedef struct {
    uint8_t *bytes; /* borrowed from the ring */
    uint32_t length;
    uint32_t domain;
    uint32_t exporter; /* who sends it this time, from 0 */
    uint32_t records;  /* 0: a template datagram */
    uint32_t mail;     /* of these, records with port 25 */
} RingSlot;

typedef struct Ring Ring;

/* Returns: the most records of this dialect that fit 1,400 bytes of payload. */
unsigned ring_max_records(RingDialect dialect);

/* @settings: copied. Returns: given, free with ring_free(). */
Ring *ring_new(const RingSettings *settings);
void ring_free(Ring *ring);

/* Slots in sending order, templates included. */
unsigned ring_length(const Ring *ring);

/*
 * The datagram of @index (taken modulo the length), with sequence number and export time as they
 * are due now. Call once per datagram sent, in order.
 * @now_ms: UTC milliseconds.
 * Returns: borrowed, its bytes good until the same slot is asked for again.
 */
const RingSlot *ring_next(Ring *ring, uint64_t index, int64_t now_ms);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ring, ring_free)
