-- SPDX-License-Identifier: Apache-2.0
-- The state table: what each event does to a unit in each state. Data, not code: transition()
-- (0011) looks the pair up, asks the guard, moves the state and calls the effect. A pair that is
-- missing is an error that alarms, so "ignored" is written down as well.

SET LOCAL ROLE postern_owner;

CREATE TABLE postern.state (
    state text PRIMARY KEY,
    note text NOT NULL
);
COMMENT ON TABLE postern.state IS 'States of a unit';
INSERT INTO postern.state VALUES
 ('clear', 'Nothing is held against it; it may be watched or in probation'),
 ('warned', 'The customer was told and has a deadline'),
 ('blocked', 'Mail ports (or the whole address) are closed; level, hold and reason stand in block'),
 ('unblocking', 'Released; waits until the network has confirmed that it is open'),
 ('freeze_proposed', 'A blocklist holds it; a person is asked'),
 ('freeze_scheduled', 'Approved and announced; the time is not reached'),
 ('frozen', 'Closed for ever');

CREATE TABLE postern.event (
    event text PRIMARY KEY,
    note text NOT NULL
);
COMMENT ON TABLE postern.event IS 'Everything that can happen to a unit';
INSERT INTO postern.event VALUES
 ('verdict_watch', 'A verdict of band watch'),
 ('verdict_flag', 'A verdict of band flag, with nothing else against the unit'),
 ('verdict_block', 'A verdict of band block, or of band flag in probation or with a trusted complaint within 7 days'),
 ('complaint', 'A complaint that counts, weights below the limit'),
 ('complaint_warn', 'A complaint that brings the sum of weights to the limit'),
 ('mail_accepted', 'A mail server accepted the warning'),
 ('mail_failed', 'The warning was refused, given up, or bounced'),
 ('reminder', 'Half of the time is gone, or one hour is left'),
 ('deadline_missed', 'The deadline passed and spam went on'),
 ('deadline_met', 'The deadline passed and nothing more was seen'),
 ('statement_fixed', 'The customer states that it is fixed'),
 ('statement_disputed', 'The customer states that it is wrong'),
 ('dispute_ended', 'An officer decided against the dispute, or its time is over'),
 ('extended', 'An officer gave more time'),
 ('unblock_asked', 'The customer asks to be unblocked'),
 ('released', 'An officer releases the unit'),
 ('false_positive', 'An officer says that it was a false alarm'),
 ('network_confirmed', 'Every required adapter has confirmed the newest order'),
 ('probation_over', 'The probation (or another clean month) is over'),
 ('listed', 'A freeze-eligible blocklist holds the unit, and the gate passed'),
 ('freeze_approved', 'The freeze was approved'),
 ('freeze_withdrawn', 'Delisted, rejected, or the statement was accepted'),
 ('freeze_due', 'The announced time is reached and the unit is still listed'),
 ('reassigned', 'The address was given to another customer, or to nobody'),
 ('sold', 'The address space is no longer ours');

CREATE TABLE postern.state_transition (
    state text NOT NULL REFERENCES postern.state (state),
    event text NOT NULL REFERENCES postern.event (event),
    guard text,
    to_state text NOT NULL CHECK (to_state IN ('clear', 'warned', 'blocked', 'unblocking', 'freeze_proposed', 'freeze_scheduled', 'frozen', 'prior')),
    effect text NOT NULL,
    in_shadow text NOT NULL DEFAULT 'act' CHECK (in_shadow IN ('act', 'record')),
    note text NOT NULL,
    PRIMARY KEY (state, event),
    CHECK (effect NOT IN ('ignored', 'refuse') OR to_state = state)
);
COMMENT ON TABLE postern.state_transition IS 'What each event does in each state; every pair stands here';
COMMENT ON COLUMN postern.state_transition.guard IS 'Must hold, or the state stays: function guard_NAME';
COMMENT ON COLUMN postern.state_transition.to_state IS 'The new state; prior: where the unit was before the freeze proposal';
COMMENT ON COLUMN postern.state_transition.effect IS 'What is done: function effect_NAME; ignored: nothing';
COMMENT ON COLUMN postern.state_transition.in_shadow IS 'act: done in shadow mode too; record: only written down as what would be done';

INSERT INTO postern.state_transition (state, event, guard, to_state, effect, in_shadow, note)
SELECT s, t.event, t.guard, CASE t.to_state WHEN '=' THEN s ELSE t.to_state END, t.effect,
       t.in_shadow, t.note
  FROM (VALUES
 -- what is seen
 ('{clear,warned,blocked,unblocking,freeze_proposed,freeze_scheduled}'::text[],
  'verdict_watch', NULL, '=', 'watch', 'act', 'Watched for a day; no case, no mail'),
 ('{frozen}', 'verdict_watch', NULL, '=', 'ignored', 'act', 'Frozen is for ever'),
 ('{clear}', 'verdict_flag', 'may_act', 'warned', 'warn', 'record', 'Warning with a deadline'),
 ('{warned,blocked,freeze_proposed,freeze_scheduled}',
  'verdict_flag', NULL, '=', 'append', 'act', 'Evidence is added; hold and deadline do not move'),
 ('{unblocking}', 'verdict_flag', 'may_act', 'blocked', 'relapse', 'record', 'The release is withdrawn, one level up'),
 ('{frozen}', 'verdict_flag', NULL, '=', 'ignored', 'act', 'Frozen is for ever'),
 ('{clear,warned}', 'verdict_block', 'may_act', 'blocked', 'block', 'record', 'Ports are closed at once'),
 ('{blocked,freeze_proposed,freeze_scheduled}',
  'verdict_block', NULL, '=', 'append', 'act', 'Evidence is added; hold does not move'),
 ('{unblocking}', 'verdict_block', 'may_act', 'blocked', 'relapse', 'record', 'The release is withdrawn, one level up'),
 ('{frozen}', 'verdict_block', NULL, '=', 'ignored', 'act', 'Frozen is for ever'),
 ('{clear}', 'complaint', NULL, '=', 'note', 'act', 'Counts for 7 days; not enough to warn'),
 ('{warned,blocked,unblocking,freeze_proposed,freeze_scheduled}',
  'complaint', NULL, '=', 'append', 'act', 'Evidence is added'),
 ('{frozen}', 'complaint', NULL, '=', 'ignored', 'act', 'Frozen is for ever'),
 ('{clear}', 'complaint_warn', 'may_warn', 'warned', 'warn', 'record', 'Warning with a deadline'),
 ('{warned,blocked,unblocking,freeze_proposed,freeze_scheduled}',
  'complaint_warn', NULL, '=', 'append', 'act', 'Evidence is added'),
 ('{frozen}', 'complaint_warn', NULL, '=', 'ignored', 'act', 'Frozen is for ever'),
 -- a warning's life
 ('{warned}', 'mail_accepted', NULL, '=', 'start_clock', 'act', 'The deadline counts from here'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}',
  'mail_accepted', NULL, '=', 'ignored', 'act', 'The warning is over already'),
 ('{warned}', 'mail_failed', NULL, '=', 'suspend', 'act', 'No sanction without notice: a person decides'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}',
  'mail_failed', NULL, '=', 'ignored', 'act', 'The warning is over already'),
 ('{warned}', 'reminder', 'clock_runs', '=', 'remind', 'act', 'Mail reminder'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}',
  'reminder', NULL, '=', 'ignored', 'act', 'The warning is over already'),
 ('{warned}', 'deadline_missed', 'may_sanction', 'blocked', 'sanction', 'act', 'Ports or address, by category and repeat'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}',
  'deadline_missed', NULL, '=', 'ignored', 'act', 'The warning is over already'),
 ('{warned}', 'deadline_met', 'clock_runs', 'clear', 'resolve', 'act', 'Mail resolved, probation'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}',
  'deadline_met', NULL, '=', 'ignored', 'act', 'The warning is over already'),
 ('{warned}', 'extended', 'clock_runs', '=', 'extend', 'act', 'More time'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}',
  'extended', NULL, '=', 'refuse', 'act', 'Only a running deadline can be extended'),
 -- what customers say
 ('{warned}', 'statement_fixed', 'first_statement', '=', 'note_fixed', 'act', 'The deadline stays as the moment of proof'),
 ('{blocked,unblocking,freeze_proposed,freeze_scheduled}',
  'statement_fixed', NULL, '=', 'keep_statement', 'act', 'Kept with the case'),
 ('{clear}', 'statement_fixed', NULL, '=', 'refuse', 'act', 'There is nothing open about this address'),
 ('{frozen}', 'statement_fixed', NULL, '=', 'refuse', 'act', 'This IP address is frozen for ever'),
 ('{warned}', 'statement_disputed', 'may_dispute', '=', 'stop_clock', 'act', 'An officer decides; the clock stands still meanwhile'),
 ('{blocked,unblocking,freeze_proposed,freeze_scheduled}',
  'statement_disputed', NULL, '=', 'keep_statement', 'act', 'Kept with the case; the desk is told'),
 ('{clear}', 'statement_disputed', NULL, '=', 'refuse', 'act', 'There is nothing open about this address'),
 ('{frozen}', 'statement_disputed', NULL, '=', 'refuse', 'act', 'This IP address is frozen for ever'),
 ('{warned}', 'dispute_ended', NULL, '=', 'resume_clock', 'act', 'The clock goes on where it stood'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}',
  'dispute_ended', NULL, '=', 'ignored', 'act', 'The warning is over already'),
 -- ways out of a block
 ('{blocked}', 'unblock_asked', 'hold_over', 'unblocking', 'unblock', 'act', 'The network is asked to open'),
 ('{clear}', 'unblock_asked', NULL, '=', 'refuse', 'act', 'This IP address is not blocked'),
 ('{warned}', 'unblock_asked', NULL, '=', 'refuse', 'act', 'This IP address is not blocked: it has a warning with a deadline'),
 ('{unblocking}', 'unblock_asked', NULL, '=', 'ignored', 'act', 'Under way already'),
 ('{freeze_proposed,freeze_scheduled}',
  'unblock_asked', NULL, '=', 'refuse', 'act', 'This IP address is on a blocklist and about to be frozen'),
 ('{frozen}', 'unblock_asked', NULL, '=', 'refuse', 'act', 'This IP address is frozen for ever'),
 ('{blocked}', 'released', NULL, 'unblocking', 'release', 'act', 'By an officer, with a reason'),
 ('{warned}', 'released', NULL, 'clear', 'withdraw', 'act', 'The warning is withdrawn'),
 ('{clear}', 'released', NULL, '=', 'refuse', 'act', 'There is nothing to release'),
 ('{unblocking}', 'released', NULL, '=', 'ignored', 'act', 'Under way already'),
 ('{freeze_proposed,freeze_scheduled}',
  'released', NULL, '=', 'refuse', 'act', 'Reject the freeze proposal first'),
 ('{frozen}', 'released', NULL, '=', 'refuse', 'act', 'This IP address is frozen for ever'),
 ('{blocked}', 'false_positive', NULL, 'unblocking', 'release', 'act', 'The level does not count; the detector hears of it'),
 ('{warned}', 'false_positive', NULL, 'clear', 'withdraw', 'act', 'The warning is withdrawn; the detector hears of it'),
 ('{clear}', 'false_positive', NULL, '=', 'refuse', 'act', 'There is nothing to release'),
 ('{unblocking}', 'false_positive', NULL, '=', 'mark_false_positive', 'act', 'The level does not count; the detector hears of it'),
 ('{freeze_proposed,freeze_scheduled}',
  'false_positive', NULL, '=', 'refuse', 'act', 'Reject the freeze proposal first'),
 ('{frozen}', 'false_positive', NULL, '=', 'refuse', 'act', 'This IP address is frozen for ever'),
 ('{unblocking}', 'network_confirmed', NULL, 'clear', 'finish_release', 'act', 'Open again: mail released, probation'),
 ('{blocked,freeze_proposed,freeze_scheduled}',
  'network_confirmed', NULL, '=', 'note_enforced', 'act', 'The block is in force'),
 ('{clear,warned,frozen}', 'network_confirmed', NULL, '=', 'ignored', 'act', 'Nothing waits for it'),
 ('{clear}', 'probation_over', NULL, '=', 'end_probation', 'act', 'The level falls by one per clean month'),
 ('{warned,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}',
  'probation_over', NULL, '=', 'ignored', 'act', 'Not clean'),
 -- the way to a freeze
 ('{clear,warned,blocked,unblocking}',
  'listed', 'may_freeze', 'freeze_proposed', 'propose_freeze', 'record', 'Ports are closed if they are not; a person is asked'),
 ('{freeze_proposed,freeze_scheduled}', 'listed', NULL, '=', 'ignored', 'act', 'Proposed already'),
 ('{frozen}', 'listed', NULL, '=', 'ignored', 'act', 'Frozen is for ever'),
 ('{freeze_proposed}', 'freeze_approved', 'may_freeze', 'freeze_scheduled', 'schedule_freeze', 'act', 'The customer is told the time'),
 ('{clear,warned,blocked,unblocking,freeze_scheduled,frozen}',
  'freeze_approved', NULL, '=', 'refuse', 'act', 'There is no freeze proposal to approve'),
 ('{freeze_proposed,freeze_scheduled}',
  'freeze_withdrawn', NULL, 'prior', 'withdraw_freeze', 'act', 'Back to where it was'),
 ('{clear,warned,blocked,unblocking}',
  'freeze_withdrawn', NULL, '=', 'refuse', 'act', 'There is no freeze proposal to withdraw'),
 ('{frozen}', 'freeze_withdrawn', NULL, '=', 'refuse', 'act', 'This IP address is frozen for ever'),
 ('{freeze_scheduled}', 'freeze_due', 'may_freeze', 'frozen', 'freeze', 'act', 'The address is closed for ever'),
 ('{clear,warned,blocked,unblocking,freeze_proposed}',
  'freeze_due', NULL, '=', 'refuse', 'act', 'No freeze was approved and announced'),
 ('{frozen}', 'freeze_due', NULL, '=', 'ignored', 'act', 'Frozen is for ever'),
 -- the address goes to somebody else
 ('{clear,warned,blocked,unblocking,freeze_proposed,freeze_scheduled}',
  'reassigned', NULL, 'clear', 'hand_over', 'act', 'Case, history and level stay with the old customer'),
 ('{frozen}', 'reassigned', NULL, '=', 'ignored', 'act', 'Frozen is for ever'),
 ('{clear,warned,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}',
  'sold', NULL, '=', 'note', 'act', 'The desired view withdraws the orders; a freeze row stays')
  ) AS t (states, event, guard, to_state, effect, in_shadow, note),
  LATERAL unnest(t.states) AS s;

GRANT SELECT ON postern.state, postern.event, postern.state_transition TO postern_analyst,
    postern_officer, postern_monitor;

RESET ROLE;
