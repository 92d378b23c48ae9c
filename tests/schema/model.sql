-- SPDX-License-Identifier: Apache-2.0
-- Random events and the invariants that hold after each: for 14_model.sql (one after the other) and
-- 15_together.sql (several at a time).

-- An arena: ten units of three customers, and one that belongs to nobody. A new one takes the
-- addresses of the old one away from their customers.
CREATE TABLE t.arena (v4 inet, v6 inet);
INSERT INTO t.arena VALUES (NULL, NULL);
SELECT postern.network_add('10.0.0.0/8', 'arenas', 'tester');
CREATE FUNCTION t.lines(p_first_is text) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY[set_masklen(v4, 29) || CASE p_first_is WHEN 'C1' THEN '|C1|Alice|vps|vps-1|||abuse@alice.example' ELSE '|C2|Bob|vps|vps-2|||abuse@bob.example' END,
                 set_masklen(v4 + 8, 29) || '|C2|Bob|vps|vps-2|||abuse@bob.example', v6 || '|C3|Carol|vps|vps-3|56'] FROM t.arena $$;
CREATE FUNCTION t.new_arena(p_n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE t.arena SET v4 = set_masklen(inet '10.0.0.0' + 256 * p_n, 24), v6 = format('2001:db8:%s::/48', to_hex(p_n))::inet;
    PERFORM t.later('1 second'), t.import(t.lines('C1'), true);
    DELETE FROM postern.never_block;
    PERFORM postern.set_setting('breaker', 'closed', 'officer');
END
$$;
SELECT t.new_arena(1);
CREATE FUNCTION t.some_unit() RETURNS inet LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    a t.arena;
    n int := floor(random() * 11);
BEGIN
    SELECT * INTO a FROM t.arena;
    RETURN CASE WHEN n < 9 THEN set_masklen(a.v4 + (ARRAY[1, 2, 3, 4, 9, 10, 11, 12, 200])[n + 1], 32)
                WHEN n = 9 THEN set_masklen(a.v6, 56) ELSE (replace(host(a.v6), '::', ':100::') || '/56')::inet END;
END
$$;
CREATE FUNCTION t.owner(p_unit inet) RETURNS text LANGUAGE sql AS 'SELECT (postern.tenancy_at(p_unit, postern.now())).customer';

-- What hinders: exemptions, our own infrastructure, shared addresses, the breaker.
CREATE FUNCTION t.protect(u inet) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_which int := floor(random() * 5);
BEGIN
    IF v_which = 0 THEN
        PERFORM postern.ip_exempt(u::cidr, (ARRAY[NULL, 50, 500])[1 + floor(random() * 3)::int], postern.now() + interval '1 day', 'x', 'officer');
    ELSIF v_which = 1 THEN
        INSERT INTO postern.exemption (net, kind, during, reason, actor, created_at)
        VALUES (u::cidr, 'all', tstzrange(postern.now(), postern.now() + interval '1 day'), 'x', 'officer', postern.now());
    ELSIF v_which = 2 THEN
        PERFORM postern.set_setting('breaker', (ARRAY['open', 'closed', 'closed'])[1 + floor(random() * 3)::int], 'officer');
    ELSIF v_which = 3 AND NOT EXISTS (SELECT FROM postern.never_block) THEN
        PERFORM postern.never_block_add(u::cidr, 'x', 'officer');
    ELSIF v_which = 3 THEN
        DELETE FROM postern.never_block;
    ELSE
        UPDATE postern.ip_assignment SET shared = NOT shared WHERE net >>= u AND during @> postern.now();
    END IF;
    RETURN 'protect';
END
$$;

-- One random event. Returns its name.
CREATE FUNCTION t.something() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    u inet := t.some_unit();
    r float8 := random();
    v_id bigint;
BEGIN
    -- Half of the time somewhere where something is going on.
    u := coalesce((SELECT s.unit FROM postern.ip_state s, t.arena a WHERE s.state <> 'clear' AND (s.unit <<= a.v4 OR s.unit <<= a.v6)
                     AND random() < 0.5 ORDER BY random() LIMIT 1), u);
    IF r < 0.04 THEN
        -- A warned customer goes on.
        PERFORM t.verdict(w.unit, 'watch') FROM postern.warning w WHERE w.state = 'running' ORDER BY random() LIMIT 1;
        RETURN 'unheeded';
    ELSIF r < 0.22 THEN
        PERFORM t.verdict(u, (ARRAY['watch', 'flag', 'flag', 'flag', 'block'])[1 + floor(random() * 5)::int],
            (ARRAY['smtp', 'submission'])[1 + floor(random() * 2)::int], postern.now() - random() * interval '2 hours');
        RETURN 'verdict';
    ELSIF r < 0.30 THEN
        PERFORM t.complaint(u, (ARRAY['trusted.example', 'a.example', 'b.example', 'c.example'])[1 + floor(random() * 4)::int],
            random() < 0.5, postern.now() - random() * interval '3 days', (ARRAY['spam', 'phishing', 'botnet'])[1 + floor(random() * 3)::int]);
        RETURN 'complaint';
    ELSIF r < 0.42 THEN
        PERFORM postern.apply_verdict(id) FROM postern.claim_verdicts(1 + floor(random() * 5)::int) AS id;
        RETURN 'apply verdicts';
    ELSIF r < 0.48 THEN
        PERFORM postern.apply_complaint(id) FROM postern.claim_complaints(1 + floor(random() * 5)::int) AS id;
        RETURN 'apply complaints';
    ELSIF r < 0.56 THEN
        -- Sometimes a worker dies between the lease, DATA and the answer.
        FOR v_id IN SELECT id FROM postern.claim_mail('w', '10 minutes', 3) LOOP
            CONTINUE WHEN random() < 0.05 OR NOT postern.mail_sending(v_id, 'w') OR random() < 0.05;
            PERFORM postern.mail_outcome(v_id, 'w', (ARRAY['done', 'done', 'done', 'done', 'done', 'retry', 'refused', 'uncertain'])[1 + floor(random() * 8)::int], 250, '');
        END LOOP;
        RETURN 'mail';
    ELSIF r < 0.66 THEN
        PERFORM postern.order_outcome('null', o.unit, o.generation, (ARRAY['done', 'done', 'done', 'retry', 'refused'])[1 + floor(random() * 5)::int], '')
           FROM postern.claim_orders('null', 'w', 3) AS o WHERE random() < 0.95;
        RETURN 'orders';
    ELSIF r < 0.74 THEN
        PERFORM postern.fire_timer(id) FROM postern.due_timers(5) AS id;
        RETURN 'timers';
    ELSIF r < 0.82 THEN
        -- Sometimes spam is seen again before the network is open.
        IF postern.request_unblock(u, t.owner(u)) ->> 'action' = 'unblocking' AND random() < 0.3 THEN
            PERFORM t.verdict(u, 'flag'), t.later('1 minute');
            PERFORM postern.apply_verdict(id) FROM postern.claim_verdicts(100) AS id;
        END IF;
        RETURN 'unblock';
    ELSIF r < 0.85 THEN
        PERFORM postern.make_statement(u, t.owner(u), (ARRAY['fixed', 'disputed'])[1 + floor(random() * 2)::int], 'x');
        RETURN 'statement';
    ELSIF r < 0.86 THEN
        PERFORM postern.ip_release(u, 'x', random() < 0.5, 'officer');
        RETURN 'release';
    ELSIF r < 0.87 THEN
        PERFORM postern.extend_deadline(u, postern.now() + interval '2 days', 'x', 'officer');
        RETURN 'extend';
    ELSIF r < 0.875 THEN
        PERFORM postern.decide_dispute(u, random() < 0.3, 'x', 'officer');
        RETURN 'decide';
    ELSIF r < 0.88 THEN
        PERFORM t.later('1 second'), t.import(t.lines((ARRAY['C1', 'C2'])[1 + floor(random() * 2)::int]), true);
        RETURN 'import';
    ELSIF r < 0.882 THEN
        PERFORM postern.set_mode((ARRAY['shadow', 'enforce', 'enforce'])[1 + floor(random() * 3)::int], 'officer');
        RETURN 'mode';
    ELSIF r < 0.89 AND EXISTS (SELECT FROM postern.ip_state WHERE unit = u) THEN
        PERFORM postern.transition(u, CASE WHEN state = 'freeze_proposed' AND random() < 0.7 THEN 'freeze_approved'
                                           WHEN state = 'freeze_scheduled' AND random() < 0.7 THEN 'listed'
                                           WHEN random() < 0.5 THEN 'listed' ELSE 'freeze_withdrawn' END,
            (ARRAY['dnsbl', 'officer'])[1 + floor(random() * 2)::int], '{"zone": "zen.example"}') FROM postern.ip_state WHERE unit = u;
        RETURN 'freeze way';
    ELSIF r < 0.896 THEN
        UPDATE postern.freeze_proposal SET confirmed_at = postern.now() WHERE state = 'scheduled';
        PERFORM postern.commit_freeze(p.id) FROM postern.freeze_proposal p
          WHERE p.state = 'scheduled' AND p.freeze_at <= postern.now() ORDER BY p.id LIMIT 1;
        RETURN 'freeze';
    ELSIF r < 0.904 THEN
        RETURN t.protect(u);
    ELSE
        PERFORM t.later((ARRAY['1 minute', '10 minutes', '1 hour', '5 hours', '1 day', '9 days'])[1 + floor(random() ^ 2 * 6)::int]::interval);
        RETURN 'time';
    END IF;
END
$$;

-- What must hold, each row one breach. By unit, so that one unit is checked quickly.
CREATE VIEW t.breach AS
    SELECT 'frozen without a freeze row' AS what, s.unit, s.state AS subject FROM postern.ip_state s
     WHERE s.state = 'frozen' AND NOT EXISTS (SELECT FROM postern.ip_freeze f WHERE f.unit = s.unit)
    UNION ALL
    SELECT 'a freeze row whose unit is not frozen', f.unit, s.state FROM postern.ip_freeze f JOIN postern.ip_state s ON s.unit = f.unit
     WHERE s.state <> 'frozen'
    UNION ALL
    SELECT 'an open block in a state that has none, or not one in a state that has', s.unit, s.state FROM postern.ip_state s
     WHERE (s.state IN ('blocked', 'unblocking', 'freeze_proposed', 'freeze_scheduled', 'frozen'))::int
           <> (SELECT count(*) FROM postern.block b WHERE b.unit = s.unit AND upper_inf(b.during))
    UNION ALL
    SELECT 'blocked without the order', s.unit, e.action
      FROM postern.ip_state s JOIN postern.block b ON b.unit = s.unit AND upper_inf(b.during) LEFT JOIN postern.enforcement e ON e.unit = s.unit
     WHERE s.state IN ('blocked', 'freeze_proposed', 'freeze_scheduled')
       AND (e.action, e.ports) IS DISTINCT FROM (CASE b.scope WHEN 'ports' THEN 'block_ports' ELSE 'block_address' END, b.ports)
    UNION ALL
    SELECT 'open or opening without the order', s.unit, e.action FROM postern.ip_state s JOIN postern.enforcement e ON e.unit = s.unit
     WHERE s.state IN ('clear', 'warned', 'unblocking') AND e.action <> 'open'
    UNION ALL
    SELECT 'frozen without the order', s.unit, e.action FROM postern.ip_state s LEFT JOIN postern.enforcement e ON e.unit = s.unit
     WHERE s.state = 'frozen' AND e.action IS DISTINCT FROM 'freeze'
    UNION ALL
    SELECT 'clear again before the network confirmed', b.unit, b.id::text
      FROM postern.block b JOIN postern.enforcement e ON e.unit = b.unit JOIN postern.spam_case c ON c.id = b.case_id
      JOIN postern.ip_state s ON s.unit = b.unit
     WHERE s.state = 'clear' AND c.outcome IN ('released', 'false-positive') AND upper(b.during) = s.changed_at
       AND e.applied_generation < e.desired_generation
    UNION ALL
    SELECT 'an open warning without the state, or the state without one', s.unit, s.state FROM postern.ip_state s
     WHERE (s.state = 'warned')::int <> (SELECT count(*) FROM postern.warning w WHERE w.unit = s.unit AND w.closed_at IS NULL)
    UNION ALL
    SELECT 'a running deadline without its timer', w.unit, w.id::text FROM postern.warning w
     WHERE w.state = 'running' AND NOT EXISTS (SELECT FROM postern.timer x WHERE x.unit = w.unit AND x.warning_id = w.id AND x.kind = 'deadline'
                                                  AND x.fired_at IS NULL AND x.due_at >= w.deadline)
    UNION ALL
    SELECT 'a deadline timer of a warning that does not run', x.unit, x.kind || ' ' || w.state
      FROM postern.timer x JOIN postern.warning w ON w.id = x.warning_id
     WHERE x.kind IN ('deadline', 'reminder') AND x.fired_at IS NULL AND w.state <> 'running'
    UNION ALL
    SELECT 'a dispute without its end', w.unit, w.id::text FROM postern.warning w
     WHERE w.closed_at IS NULL AND w.stopped_at IS NOT NULL
       AND NOT EXISTS (SELECT FROM postern.timer x WHERE x.unit = w.unit AND x.warning_id = w.id AND x.kind = 'dispute_over' AND x.fired_at IS NULL)
    UNION ALL
    SELECT 'a probation without its end', s.unit, s.probation_until::text FROM postern.ip_state s
     WHERE s.probation_until > postern.now()
       AND NOT EXISTS (SELECT FROM postern.timer x WHERE x.unit = s.unit AND x.kind = 'probation_over' AND x.fired_at IS NULL)
    UNION ALL
    SELECT 'a sanction without an accepted notice', b.unit, b.id::text FROM postern.block b
     WHERE b.cause = 'deadline' AND NOT EXISTS (
           SELECT FROM postern.warning w JOIN postern.outbox o ON o.case_id = w.case_id AND o.warning_id = w.id AND o.kind = 'warning'
            WHERE w.case_id = b.case_id AND w.state = 'missed' AND w.accepted_at IS NOT NULL AND w.deadline <= lower(b.during)
              AND (o.state = 'done' OR EXISTS (SELECT FROM postern.outbox d WHERE d.id = o.digest_id AND d.state = 'done')))
    UNION ALL
    SELECT 'a block at once without a verdict above watch', b.unit, b.id::text FROM postern.block b LEFT JOIN postern.verdict v ON v.id = b.verdict_id
     WHERE b.cause IN ('verdict', 'relapse') AND coalesce(v.band, 'watch') = 'watch'
    UNION ALL
    SELECT 'a deadline before its time', w.unit, w.id::text FROM postern.warning w WHERE w.deadline < w.accepted_at + w.duration
    UNION ALL
    SELECT 'an open case in a clear state, or none in another', s.unit, s.state
      FROM postern.ip_state s
     WHERE (s.state NOT IN ('clear', 'frozen')) <> EXISTS (SELECT FROM postern.spam_case c WHERE c.unit = s.unit AND NOT c.shadow AND c.closed_at IS NULL)
        OR (s.case_id IS NOT NULL) <> (s.state NOT IN ('clear', 'frozen'))
    UNION ALL
    SELECT 'a level that fell within probation', b.unit, b.id::text
      FROM (SELECT b.*, lag(level) OVER w AS before, lag(upper(during)) OVER w AS closed, bool_or(false_positive) OVER (PARTITION BY unit, customer) AS any_false
              FROM postern.block b WHERE b.cause <> 'freeze' WINDOW w AS (PARTITION BY unit, customer ORDER BY lower(during))) AS b
     WHERE b.level <= b.before AND lower(b.during) < b.closed + interval '30 days' AND NOT b.any_false
    UNION ALL
    SELECT 'the hold is not the ladder''s', b.unit, b.id::text FROM postern.block b
     WHERE b.hold_until <> lower(b.during) + make_interval(secs => (ARRAY[3600, 86400, 604800, 2592000])[least(b.level, 4)])
    UNION ALL
    SELECT 'opened by the customer before the hold was over', b.unit, b.id::text FROM postern.block b
     WHERE b.released_by LIKE 'customer %' AND b.release_asked_at < b.hold_until
    UNION ALL
    SELECT 'a case of one tenant on a unit of another', s.unit, c.public_id FROM postern.ip_state s JOIN postern.spam_case c ON c.id = s.case_id
     WHERE c.customer <> s.customer
    UNION ALL
    SELECT 'a warning that waits for a mail that nobody sends', w.unit, w.id::text FROM postern.warning w
     WHERE w.state = 'mailing' AND NOT EXISTS (SELECT FROM postern.outbox o WHERE o.case_id = w.case_id AND o.warning_id = w.id AND o.kind = 'warning'
                                                  AND (o.state IN ('pending', 'sending') OR o.state = 'digested' AND EXISTS (
                                                       SELECT FROM postern.outbox d WHERE d.id = o.digest_id AND d.state IN ('pending', 'sending'))))
    UNION ALL
    SELECT 'a mail that is told by no digest, or by another customer''s', o.unit, o.kind FROM postern.outbox o LEFT JOIN postern.outbox d ON d.id = o.digest_id
     WHERE o.state = 'digested' AND (d.kind, d.customer, d.contact_email, d.vars ->> 'of') IS DISTINCT FROM ('digest', o.customer, o.contact_email, o.kind)
    UNION ALL
    SELECT 'a digest to come of which nothing is left', o.unit, d.id::text FROM postern.outbox o JOIN postern.outbox d ON d.id = o.digest_id
     WHERE o.state = 'superseded' AND d.state = 'pending' AND NOT EXISTS (SELECT FROM postern.mail_parts(d.id))
    UNION ALL
    SELECT 'a mail accepted in a digest that was not', o.unit, o.kind FROM postern.outbox o JOIN postern.outbox d ON d.id = o.digest_id
     WHERE o.state = 'digested' AND o.accepted_at IS NOT NULL AND d.state NOT IN ('done', 'failed')
    UNION ALL
    SELECT 'a mail to come about a warning that is over', w.unit, o.kind FROM postern.warning w JOIN postern.outbox o ON o.case_id = w.case_id AND o.warning_id = w.id
     WHERE o.kind IN ('warning', 'reminder') AND w.closed_at IS NOT NULL AND o.attempts = 0
       AND (o.state = 'pending' OR o.state = 'digested' AND EXISTS (SELECT FROM postern.outbox d WHERE d.id = o.digest_id AND d.state = 'pending' AND d.attempts = 0))
    UNION ALL
    SELECT 'two mails for one occasion and recipient', c.unit, min(o.dedup_key) FROM postern.spam_case c JOIN postern.outbox o ON o.case_id = c.id
     GROUP BY c.unit, o.case_id, o.kind, o.warning_id, o.contact_email, left(o.dedup_key, -length(o.contact_email)) HAVING count(*) > 1
    UNION ALL
    SELECT 'a mail resent more often than set', c.unit, o.id::text FROM postern.spam_case c JOIN postern.outbox o ON o.case_id = c.id WHERE o.resends > 10
    UNION ALL
    SELECT 'a state change without an audit row', s.unit, s.version::text FROM postern.ip_state s
     WHERE s.version <> (SELECT count(*) FROM postern.audit_event a WHERE a.unit = s.unit AND a.effect IS NOT NULL
                            AND a.effect NOT IN ('ignored', 'shadow') AND a.effect NOT LIKE 'refused by %');
