-- SPDX-License-Identifier: Apache-2.0
-- Exemptions: up to a ceiling, until an end, or until somebody ends them early.
\ir support.sql
SELECT t.enforce();
SELECT plan(20);

-- Sessions of t.verdict(): at least 80.
SELECT isnt(postern.ip_exempt('192.0.2.0/28', 100, postern.now() + interval '2 days', 'newsletters', 'officer'), NULL, 'exempt up to 100 sessions');
SELECT is(t.hit('192.0.2.1', 'block'), 'exempt', 'a verdict below the ceiling does not act');
SELECT is(postern.apply_verdict(t.verdict('192.0.2.2', 'block', p_sessions => 101)), 'blocked', 'one above it does');
SELECT is(t.hit('192.0.2.16', 'block'), 'blocked', 'and so one outside the net');
SELECT is(t.complain('192.0.2.3'), 'warned', 'complaints count all the same');

SELECT t.later('1 minute') \g /dev/null
SELECT throws_ok($$ SELECT postern.ip_exempt_end('192.0.2.0/28', ' ', 'officer') $$, 'PT006', NULL, 'an end needs a reason');
SELECT is(postern.ip_exempt_end('192.0.2.0/29', 'x', 'officer'), 0, 'it names exactly the net');
SELECT is(postern.ip_exempt_end('192.0.2.0/28', 'sold', 'officer'), 1, 'it ends');
SELECT is(postern.ip_exempt_end('192.0.2.0/28', 'sold', 'officer'), 0, 'once');
SELECT results_eq($$ SELECT unit::text, ceiling FROM postern.scorer_input WHERE kind = 'exempted' ORDER BY id $$,
    $$ VALUES ('192.0.2.0/28', 100::float8), ('192.0.2.0/28', 0) $$, 'the detector hears of beginning and end');
SELECT results_eq($$ SELECT event, detail ->> 'reason' FROM postern.audit_event WHERE event LIKE 'exempt%' ORDER BY id $$,
    $$ VALUES ('exempt', 'newsletters'), ('exempt-end', 'sold') $$, 'and the audit');
SELECT is((SELECT result FROM postern.timer WHERE kind = 'exemption_over'), 'cancelled', 'nothing waits for the old end');
SELECT is(t.hit('192.0.2.1', 'block'), 'blocked', 'from now on verdicts act');

-- What an exemption allows is no broken promise.
SELECT t.hit('192.0.2.20', 'flag'), t.hit('192.0.2.21', 'flag') \g /dev/null
SELECT t.post() \g /dev/null
SELECT postern.ip_exempt('192.0.2.20/32', 100, postern.now() + interval '9 days', 'newsletters', 'officer') \g /dev/null
SELECT t.later('6 hours') \g /dev/null
SELECT t.hit('192.0.2.20', 'watch'), t.hit('192.0.2.21', 'watch') \g /dev/null
SELECT t.later('19 hours') \g /dev/null
SELECT t.timers() \g /dev/null
SELECT is(t.state('192.0.2.20'), 'clear', 'mail below the ceiling of an exemption does not miss a deadline');
SELECT is(t.state('192.0.2.21'), 'blocked', 'as the same mail does without one');

-- A second phishing warning is the second one, also where it began as spam.
SELECT t.complain('192.0.2.30', p_category => 'phishing'), t.post() \g /dev/null
SELECT t.later('25 hours') \g /dev/null
SELECT t.timers() \g /dev/null
SELECT t.complain('192.0.2.30', p_category => 'spam'), t.complain('192.0.2.30', p_category => 'phishing') \g /dev/null
SELECT results_eq($$ SELECT category, repeat FROM postern.warning WHERE unit = '192.0.2.30' ORDER BY id $$,
    $$ VALUES ('phishing', 1), ('phishing', 2) $$, 'a case that became phishing counts among the phishing ones');
SELECT results_eq($$ SELECT postern.measure_for(category, repeat) FROM postern.warning WHERE unit = '192.0.2.30' ORDER BY id $$,
    ARRAY['ports', 'address'], 'and the measure goes by it');

-- A deadline that passes under an exemption from everything waits, and acts when that is over.
SELECT t.hit('192.0.2.40', 'flag'), t.post() \g /dev/null
SELECT t.later('15 hours') \g /dev/null
SELECT t.hit('192.0.2.40', 'watch') \g /dev/null
SELECT t.later('1 hour') \g /dev/null
INSERT INTO postern.exemption (net, kind, during, reason, actor, created_at)
VALUES ('192.0.2.40/32', 'all', tstzrange(postern.now(), postern.now() + interval '30 hours'), 'x', 'officer', postern.now());
SELECT t.later('9 hours') \g /dev/null
SELECT matches(t.timers(), 'exempt', 'the deadline passes under an exemption');
UPDATE postern.exemption SET during = tstzrange(lower(during), postern.now()) WHERE kind = 'all';
INSERT INTO postern.never_block VALUES ('192.0.2.40/32', 'x', 'x', postern.now());
SELECT t.later('1 hour') \g /dev/null
SELECT matches(t.timers(), 'never-block', 'it is asked about again');
DELETE FROM postern.never_block;
SELECT t.later('1 hour'), t.timers() \g /dev/null
SELECT matches((SELECT string_agg(result, ' ' ORDER BY id) FROM postern.timer WHERE unit = '192.0.2.40' AND kind = 'deadline'),
    'resolved|blocked', 'and decided when nothing protects the unit any more');
SELECT finish();
