-- SPDX-License-Identifier: Apache-2.0
-- What the specification says of each pair of state and event, apart from the table that the product
-- obeys: for 18_pairs.sql, which tries each pair, and 14_model.sql, which compares every transition.

CREATE TABLE t.spec (
    state text, event text,
    to_state text NOT NULL,        -- where it goes if nothing hinders
    action text NOT NULL,          -- the word that callers see
    does text NOT NULL,            -- what else changes, as t.stand() tells it
    guard text,                    -- what may hinder
    hindered text,                 -- the word then; the state stays and nothing changes
    in_shadow text NOT NULL,       -- the word in shadow mode
    PRIMARY KEY (state, event));

-- Everything about a unit that an event may change, one fact a line.
CREATE FUNCTION t.stand(p_unit inet) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(fact ORDER BY fact), '{}') FROM (
        SELECT unnest(ARRAY['state ' || s.state, 'tenant ' || s.customer, 'level ' || s.level,
                            CASE WHEN s.case_id IS NOT NULL THEN 'case at hand' END,
                            CASE WHEN s.watched_until > postern.now() THEN 'watched' END,
                            CASE WHEN s.probation_until > postern.now() THEN 'probation' END]) AS fact
          FROM postern.ip_state s WHERE s.unit = p_unit
        UNION ALL SELECT format('case %s%s %s', row_number() OVER (ORDER BY id), CASE WHEN shadow THEN ' shadow' END, coalesce(outcome, 'open'))
                    FROM postern.spam_case WHERE unit = p_unit
        UNION ALL SELECT format('warning %s%s%s', state, CASE WHEN fixed_at IS NOT NULL THEN ' fixed' END,
                                ' deadline ' || round(extract(epoch FROM deadline - postern.now()) / 3600)::int || ' h')
                    FROM postern.warning WHERE unit = p_unit
        UNION ALL SELECT format('block %s %s %s %s hold %s%s%s%s', scope, array_to_string(ports, '+'), cause, 'level ' || level,
                                extract(epoch FROM hold_until - lower(during))::bigint,
                                CASE WHEN release_asked_at IS NOT NULL THEN ' released' END,
                                CASE WHEN false_positive THEN ' false-positive' END, CASE WHEN NOT upper_inf(during) THEN ' closed' END)
                    FROM postern.block WHERE unit = p_unit
        UNION ALL SELECT 'enforced' FROM postern.block WHERE unit = p_unit AND upper_inf(during) AND enforced_at IS NOT NULL
        UNION ALL SELECT format('order %s %s', action, desired_generation) FROM postern.enforcement WHERE unit = p_unit
        UNION ALL SELECT format('mail %s %s', kind, state) FROM postern.outbox WHERE unit = p_unit
        UNION ALL SELECT format('timer %s in %s h', kind, round(extract(epoch FROM due_at - postern.now()) / 3600)::int)
                    FROM postern.timer WHERE unit = p_unit AND fired_at IS NULL
        UNION ALL SELECT format('statement %s%s', kind, CASE WHEN accepted THEN ' accepted' END)
                    FROM postern.statement JOIN postern.spam_case c ON c.id = case_id WHERE c.unit = p_unit
        UNION ALL SELECT format('evidence %s', count(*)) FROM postern.evidence e JOIN postern.spam_case c ON c.id = e.case_id WHERE c.unit = p_unit
        UNION ALL SELECT 'detector hears ' || kind FROM postern.scorer_input i WHERE i.unit = p_unit
        UNION ALL SELECT 'alarm ' || kind FROM postern.noc_alarm WHERE subject = postern.unit_text(p_unit) AND cleared_at IS NULL
        UNION ALL SELECT 'proposal ' || state FROM postern.freeze_proposal WHERE unit = p_unit
        UNION ALL SELECT 'shadow ' || action FROM postern.shadow_action WHERE unit = p_unit) AS facts
     WHERE fact IS NOT NULL
$$;
-- From one to the other: what is new, then what is gone.
CREATE FUNCTION t.difference(p_before text[], p_after text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(string_agg(sign || fact, '; ' ORDER BY sign, fact), '') FROM (
        (SELECT '+' AS sign, unnest(p_after) AS fact EXCEPT ALL SELECT '+', unnest(p_before))
        UNION ALL (SELECT '-', unnest(p_before) EXCEPT ALL SELECT '-', unnest(p_after))) AS d
     WHERE fact NOT LIKE 'state %'
$$;

INSERT INTO t.spec (state, event, to_state, action, guard, hindered, in_shadow, does)
SELECT s, event, CASE to_state WHEN '=' THEN s ELSE to_state END, action, guard, hindered, coalesce(in_shadow, action),
       regexp_replace(does, '\s*\n\s*', ' ', 'g')
  FROM (VALUES
 -- states, event, to, action, guard, hindered, in shadow, what changes
 ('{clear,warned,freeze_proposed,freeze_scheduled}', 'verdict_watch', '=', 'watched', NULL, NULL, NULL,
  '+watched'),
 ('{blocked,unblocking}', 'verdict_watch', '=', 'watched', NULL, NULL, NULL, ''),
 ('{frozen}', 'verdict_watch', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear}', 'verdict_flag', 'warned', 'warned', 'may_act', 'exempt', 'shadow-warned',
  '+case 1 open; +case at hand; +evidence 2; +mail warning pending; +warning mailing; -evidence 0'),
 ('{warned,blocked}', 'verdict_flag', '=', 'appended', NULL, NULL, NULL,
  '+evidence 4; -evidence 2'),
 ('{unblocking}', 'verdict_flag', 'blocked', 'blocked', 'may_act', 'exempt', 'shadow-blocked',
  '+block ports 25 relapse level 2 hold 86400; +block ports 25 verdict level 1 hold 3600 released
   closed; +detector hears confirmed; +evidence 4; +level 2; +mail blocked pending; +order block_ports
   3; -block ports 25 verdict level 1 hold 3600 released; -enforced; -evidence 2; -level 1; -order open
   2'),
 ('{freeze_proposed,freeze_scheduled}', 'verdict_flag', '=', 'appended', NULL, NULL, NULL,
  '+evidence 2; -evidence 0'),
 ('{frozen}', 'verdict_flag', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear}', 'verdict_block', 'blocked', 'blocked', 'may_act', 'exempt', 'shadow-blocked',
  '+block ports 25 verdict level 1 hold 3600; +case 1 open; +case at hand; +evidence 2; +level 1; +mail
   blocked pending; +order block_ports 1; -evidence 0; -level 0'),
 ('{warned}', 'verdict_block', 'blocked', 'blocked', 'may_act', 'exempt', 'shadow-blocked',
  '+block ports 25 verdict level 1 hold 3600; +evidence 4; +level 1; +mail blocked pending; +order
   block_ports 1; +warning overtaken deadline 0 h; -evidence 2; -level 0; -timer deadline in 0 h;
   -timer reminder in -1 h; -timer reminder in -12 h; -warning running deadline 0 h'),
 ('{blocked}', 'verdict_block', '=', 'appended', NULL, NULL, NULL,
  '+evidence 4; -evidence 2'),
 ('{unblocking}', 'verdict_block', 'blocked', 'blocked', 'may_act', 'exempt', 'shadow-blocked',
  '+block ports 25 relapse level 2 hold 86400; +block ports 25 verdict level 1 hold 3600 released
   closed; +detector hears confirmed; +evidence 4; +level 2; +mail blocked pending; +order block_ports
   3; -block ports 25 verdict level 1 hold 3600 released; -enforced; -evidence 2; -level 1; -order open
   2'),
 ('{freeze_proposed,freeze_scheduled}', 'verdict_block', '=', 'appended', NULL, NULL, NULL,
  '+evidence 2; -evidence 0'),
 ('{frozen}', 'verdict_block', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear}', 'complaint', '=', 'noted', NULL, NULL, NULL, ''),
 ('{warned,blocked,unblocking}', 'complaint', '=', 'appended', NULL, NULL, NULL,
  '+evidence 3; -evidence 2'),
 ('{freeze_proposed,freeze_scheduled}', 'complaint', '=', 'appended', NULL, NULL, NULL,
  '+evidence 1; -evidence 0'),
 ('{frozen}', 'complaint', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear}', 'complaint_warn', 'warned', 'warned', 'may_warn', 'exempt', 'shadow-warned',
  '+case 1 open; +case at hand; +detector hears confirmed; +evidence 1; +mail warning pending; +warning
   mailing; -evidence 0'),
 ('{warned,blocked,unblocking}', 'complaint_warn', '=', 'appended', NULL, NULL, NULL,
  '+evidence 3; -evidence 2'),
 ('{freeze_proposed,freeze_scheduled}', 'complaint_warn', '=', 'appended', NULL, NULL, NULL,
  '+evidence 1; -evidence 0'),
 ('{frozen}', 'complaint_warn', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}', 'mail_accepted', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{warned}', 'mail_accepted', '=', 'clock-started', NULL, NULL, NULL,
  '+timer deadline in 24 h; +timer reminder in 12 h; +timer reminder in 23 h; +warning running deadline
   24 h; -warning mailing'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}', 'mail_failed', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{warned}', 'mail_failed', '=', 'suspended', NULL, NULL, NULL,
  '+alarm deadline-suspended; +warning suspended; -timer deadline in 0 h; -timer reminder in -1 h;
   -timer reminder in -12 h; -warning running deadline 0 h'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}', 'reminder', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{warned}', 'reminder', '=', 'reminded', 'clock_runs', 'clock-stopped', NULL,
  '+mail reminder pending'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}', 'deadline_missed', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{warned}', 'deadline_missed', 'blocked', 'blocked', 'may_sanction', 'clock-stopped', NULL,
  '+block ports 25 deadline level 1 hold 3600; +detector hears confirmed; +level 1; +mail blocked
   pending; +order block_ports 1; +warning missed deadline 0 h; -level 0; -timer deadline in 0 h;
   -timer reminder in -1 h; -timer reminder in -12 h; -warning running deadline 0 h'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}', 'deadline_met', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{warned}', 'deadline_met', 'clear', 'resolved', 'clock_runs', 'clock-stopped', NULL,
  '+case 1 resolved; +mail resolved pending; +probation; +timer probation_over in 720 h; +warning
   resolved deadline 0 h; -case 1 open; -case at hand; -timer deadline in 0 h; -timer reminder in -1 h;
   -timer reminder in -12 h; -warning running deadline 0 h'),
 ('{clear,frozen}', 'statement_fixed', '=', 'refused', NULL, NULL, NULL, ''),
 ('{warned}', 'statement_fixed', '=', 'noted', 'first_statement', 'said-before', NULL,
  '+detector hears confirmed; +statement fixed accepted; +warning running fixed deadline 0 h; -warning
   running deadline 0 h'),
 ('{blocked,unblocking,freeze_proposed,freeze_scheduled}', 'statement_fixed', '=', 'kept', NULL, NULL, NULL,
  '+detector hears confirmed; +statement fixed'),
 ('{clear,frozen}', 'statement_disputed', '=', 'refused', NULL, NULL, NULL, ''),
 ('{warned}', 'statement_disputed', '=', 'clock-stopped', 'may_dispute', 'said-before', NULL,
  '+alarm dispute; +statement disputed accepted; +timer dispute_over in 72 h; +warning disputed
   deadline 0 h; -timer deadline in 0 h; -timer reminder in -1 h; -timer reminder in -12 h; -warning
   running deadline 0 h'),
 ('{blocked,unblocking,freeze_proposed,freeze_scheduled}', 'statement_disputed', '=', 'kept', NULL, NULL, NULL,
  '+alarm dispute; +statement disputed'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}', 'dispute_ended', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{warned}', 'dispute_ended', '=', 'clock-resumed', NULL, NULL, NULL,
  '+timer deadline in 22 h; +timer reminder in 21 h; +warning running deadline 22 h; -timer
   dispute_over in 50 h; -warning disputed deadline 0 h'),
 ('{clear,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}', 'extended', '=', 'refused', NULL, NULL, NULL, ''),
 ('{warned}', 'extended', '=', 'extended', 'clock_runs', 'clock-stopped', NULL,
  '+timer deadline in 48 h; +timer reminder in 12 h; +timer reminder in 47 h; +warning running deadline
   48 h; -timer deadline in 0 h; -timer reminder in -1 h; -timer reminder in -12 h; -warning running
   deadline 0 h'),
 ('{clear,warned,freeze_proposed,freeze_scheduled,frozen}', 'unblock_asked', '=', 'refused', NULL, NULL, NULL, ''),
 ('{blocked}', 'unblock_asked', 'unblocking', 'unblocking', 'hold_over', 'too-early', NULL,
  '+block ports 25 verdict level 1 hold 3600 released; +detector hears released; +order open 2; -block
   ports 25 verdict level 1 hold 3600; -order block_ports 1'),
 ('{unblocking}', 'unblock_asked', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear,freeze_proposed,freeze_scheduled,frozen}', 'released', '=', 'refused', NULL, NULL, NULL, ''),
 ('{warned}', 'released', 'clear', 'withdrawn', NULL, NULL, NULL,
  '+case 1 withdrawn; +detector hears released; +mail resolved pending; +warning withdrawn deadline 0
   h; -case 1 open; -case at hand; -timer deadline in 0 h; -timer reminder in -1 h; -timer reminder in
   -12 h; -warning running deadline 0 h'),
 ('{blocked}', 'released', 'unblocking', 'unblocking', NULL, NULL, NULL,
  '+block ports 25 verdict level 1 hold 3600 released; +detector hears released; +order open 2; -block
   ports 25 verdict level 1 hold 3600; -order block_ports 1'),
 ('{unblocking}', 'released', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear,freeze_proposed,freeze_scheduled,frozen}', 'false_positive', '=', 'refused', NULL, NULL, NULL, ''),
 ('{warned}', 'false_positive', 'clear', 'withdrawn', NULL, NULL, NULL,
  '+case 1 false-positive; +detector hears false_positive; +mail resolved pending; +warning withdrawn
   deadline 0 h; -case 1 open; -case at hand; -timer deadline in 0 h; -timer reminder in -1 h; -timer
   reminder in -12 h; -warning running deadline 0 h'),
 ('{blocked}', 'false_positive', 'unblocking', 'unblocking', NULL, NULL, NULL,
  '+block ports 25 verdict level 1 hold 3600 released false-positive; +detector hears false_positive;
   +detector hears released; +order open 2; -block ports 25 verdict level 1 hold 3600; -order
   block_ports 1'),
 ('{unblocking}', 'false_positive', '=', 'noted', NULL, NULL, NULL,
  '+block ports 25 verdict level 1 hold 3600 released false-positive; +detector hears false_positive;
   -block ports 25 verdict level 1 hold 3600 released'),
 ('{clear,warned,frozen}', 'network_confirmed', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{blocked,freeze_scheduled}', 'network_confirmed', '=', 'enforced', NULL, NULL, NULL, ''),
 ('{unblocking}', 'network_confirmed', 'clear', 'released', NULL, NULL, NULL,
  '+block ports 25 verdict level 1 hold 3600 released closed; +case 1 released; +mail released pending;
   +probation; +timer probation_over in 720 h; -block ports 25 verdict level 1 hold 3600 released;
   -case 1 open; -case at hand; -enforced'),
 ('{freeze_proposed}', 'network_confirmed', '=', 'enforced', NULL, NULL, NULL,
  '+enforced'),
 ('{clear}', 'probation_over', '=', 'probation-over', NULL, NULL, NULL, ''),
 ('{warned,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}', 'probation_over', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear}', 'listed', 'freeze_proposed', 'freeze-proposed', 'may_freeze', 'never-freeze', 'shadow-blocked',
  '+alarm freeze-proposed; +block ports 25 freeze level 1 hold 3600; +case 1 open; +case at hand; +detector hears confirmed;
   +level 1; +mail blocked pending; +order block_ports 1; +proposal proposed; -level 0'),
 ('{warned}', 'listed', 'freeze_proposed', 'freeze-proposed', 'may_freeze', 'never-freeze', 'shadow-blocked',
  '+alarm freeze-proposed; +block ports 25 freeze level 1 hold 3600; +detector hears confirmed; +level 1; +mail blocked
   pending; +order block_ports 1; +proposal proposed; +warning overtaken deadline 0 h; -level 0; -timer
   deadline in 0 h; -timer reminder in -1 h; -timer reminder in -12 h; -warning running deadline 0 h'),
 ('{blocked}', 'listed', 'freeze_proposed', 'freeze-proposed', 'may_freeze', 'never-freeze', 'shadow-blocked',
  '+alarm freeze-proposed; +detector hears confirmed; +proposal proposed'),
 ('{unblocking}', 'listed', 'freeze_proposed', 'freeze-proposed', 'may_freeze', 'never-freeze', 'shadow-blocked',
  '+alarm freeze-proposed; +detector hears confirmed; +order block_ports 3; +proposal proposed; -order open 2'),
 ('{freeze_proposed,freeze_scheduled,frozen}', 'listed', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear,warned,blocked,unblocking,freeze_scheduled,frozen}', 'freeze_approved', '=', 'refused', NULL, NULL, NULL, ''),
 ('{freeze_proposed}', 'freeze_approved', 'freeze_scheduled', 'freeze-scheduled', 'may_freeze', 'never-freeze', NULL,
  '+mail freeze-notice pending; +proposal scheduled; -alarm freeze-proposed; -proposal proposed'),
 ('{clear,warned,blocked,unblocking,frozen}', 'freeze_withdrawn', '=', 'refused', NULL, NULL, NULL, ''),
 ('{freeze_proposed}', 'freeze_withdrawn', 'unblocking', 'freeze-withdrawn', NULL, NULL, NULL,
  '+block ports 25 freeze level 1 hold 3600 released; +detector hears released; +order open 2;
   +proposal withdrawn; -alarm freeze-proposed; -block ports 25 freeze level 1 hold 3600; -order block_ports 1; -proposal
   proposed'),
 ('{freeze_scheduled}', 'freeze_withdrawn', 'unblocking', 'freeze-withdrawn', NULL, NULL, NULL,
  '+block ports 25 freeze level 1 hold 3600 released; +detector hears released; +order open 2;
   +proposal withdrawn; -block ports 25 freeze level 1 hold 3600; -order block_ports 1; -proposal
   scheduled'),
 ('{clear,warned,blocked,unblocking,freeze_proposed}', 'freeze_due', '=', 'refused', NULL, NULL, NULL, ''),
 ('{freeze_scheduled}', 'freeze_due', 'frozen', 'frozen', 'may_freeze', 'never-freeze', NULL,
  '+case 1 frozen; +mail frozen pending; +order freeze 2; +proposal committed; -case 1 open; -case at
   hand; -order block_ports 1; -proposal scheduled'),
 ('{frozen}', 'freeze_due', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear}', 'reassigned', '=', 'handed-over', NULL, NULL, NULL,
  '+tenant C2; -tenant C1'),
 ('{warned}', 'reassigned', 'clear', 'handed-over', NULL, NULL, NULL,
  '+alarm reused; +case 1 reassigned; +tenant C2; +warning withdrawn deadline 0 h; -case 1 open; -case
   at hand; -tenant C1; -timer deadline in 0 h; -timer reminder in -1 h; -timer reminder in -12 h;
   -warning running deadline 0 h'),
 ('{blocked}', 'reassigned', 'clear', 'handed-over', NULL, NULL, NULL,
  '+alarm reused; +block ports 25 verdict level 1 hold 3600 closed; +case 1 reassigned; +level 0;
   +order open 2; +tenant C2; -block ports 25 verdict level 1 hold 3600; -case 1 open; -case at hand;
   -enforced; -level 1; -order block_ports 1; -tenant C1; -watched'),
 ('{unblocking}', 'reassigned', 'clear', 'handed-over', NULL, NULL, NULL,
  '+alarm reused; +block ports 25 verdict level 1 hold 3600 released closed; +case 1 reassigned; +level
   0; +order open 3; +tenant C2; -block ports 25 verdict level 1 hold 3600 released; -case 1 open;
   -case at hand; -enforced; -level 1; -order open 2; -tenant C1; -watched'),
 ('{freeze_proposed}', 'reassigned', 'clear', 'handed-over', NULL, NULL, NULL,
  '+alarm reused; +block ports 25 freeze level 1 hold 3600 closed; +case 1 reassigned; +level 0; +mail
   blocked superseded; +order open 2; +proposal withdrawn; +tenant C2; -alarm freeze-proposed; -block ports 25 freeze level 1
   hold 3600; -case 1 open; -case at hand; -level 1; -mail blocked pending; -order block_ports 1;
   -proposal proposed; -tenant C1'),
 ('{freeze_scheduled}', 'reassigned', 'clear', 'handed-over', NULL, NULL, NULL,
  '+alarm reused; +block ports 25 freeze level 1 hold 3600 closed; +case 1 reassigned; +level 0; +order
   open 2; +proposal withdrawn; +tenant C2; -block ports 25 freeze level 1 hold 3600; -case 1 open;
   -case at hand; -enforced; -level 1; -order block_ports 1; -proposal scheduled; -tenant C1'),
 ('{frozen}', 'reassigned', '=', 'ignored', NULL, NULL, NULL, ''),
 ('{clear,warned,blocked,unblocking,freeze_proposed,freeze_scheduled,frozen}', 'sold', '=', 'noted', NULL, NULL, NULL, '')
  ) AS v (states, event, to_state, action, guard, hindered, in_shadow, does), LATERAL unnest(v.states::text[]) AS s;
