-- SPDX-License-Identifier: Apache-2.0
-- The plans of a session that applies verdicts are made once and kept. Made while the tables are small
-- they read them whole, and go on doing so while they grow: the look-ups of sixteen rows of evidence
-- alone then take most of a verdict's time. Everything here is found by an index.

ALTER FUNCTION postern.apply_verdict(bigint) SET enable_seqscan = off;
ALTER FUNCTION postern.apply_complaint(bigint) SET enable_seqscan = off;
ALTER FUNCTION postern.fire_timer(bigint) SET enable_seqscan = off;
