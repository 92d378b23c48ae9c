-- SPDX-License-Identifier: Apache-2.0
-- Ways into the network: on and off, limits, the switch, and what is applied against what is wanted.
\ir support.sql
SELECT t.enforce();
SELECT plan(54);

CREATE FUNCTION t.hook(p_outcome text DEFAULT 'done', p_max int DEFAULT 100) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(postern.order_outcome('hook', o.unit, o.generation, p_outcome, 'as the test wants it'))
      FROM postern.claim_orders('hook', 'w', p_max) AS o
$$;
CREATE FUNCTION t.compare(p_listing text, p_error text DEFAULT NULL) RETURNS int LANGUAGE sql AS $$
    SELECT t.later('1 second');
    SELECT postern.reconcile('hook', (SELECT since FROM postern.reconcile_begin('hook')), p_listing, p_error)
$$;
CREATE FUNCTION t.orders(p_adapter text DEFAULT 'hook') RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat_ws(' ', host(unit), action, state), ', ' ORDER BY unit), '')
      FROM postern.enforcement WHERE adapter = p_adapter
$$;
CREATE FUNCTION t.alarm(p_kind text) RETURNS text LANGUAGE sql AS
    'SELECT detail FROM postern.noc_alarm WHERE kind = p_kind AND cleared_at IS NULL';

-- on and off
SELECT t.hit('192.0.2.1', 'block'), t.network();
SELECT is(t.orders(), '', 'an adapter that is off gets no order');
SELECT is((SELECT hindered FROM postern.reconcile_begin('hook')), 'adapter hook is not enabled: SELECT postern.set_adapter(''hook'', true, true, ''me'')', 'and its dispatcher is told what to do');
SELECT is(postern.set_adapter('hook', true, true, 'officer'), 1, 'turned on it gets the orders about what is closed now');
SELECT is(t.orders(), '192.0.2.1 block_ports pending', 'the block');
SELECT is((SELECT case_id || ' ' || array_to_string(ports, ',') FROM postern.claim_orders('hook', 'w', 1)), (SELECT public_id FROM postern.spam_case) || ' 25', 'with its case and ports');
SELECT is(postern.order_outcome('hook', '192.0.2.1', 1, 'done', ''), 'applied', 'done');
SELECT is(postern.set_adapter('hook', true, true, 'officer'), 0, 'turned on again: nothing new');
SELECT throws_ok($$ SELECT postern.set_adapter('nft', true, true, 'officer') $$, 'PT006', 'there is no adapter "nft"', 'an unknown one');
SELECT postern.set_adapter('null', false, false, 'officer');
SELECT throws_ok($$ SELECT postern.set_adapter('hook', false, true, 'officer') $$, 'PT006', NULL, 'the last required one cannot go');
SELECT is((SELECT count(*) FROM postern.audit_event WHERE event = 'adapter'), 3::bigint, 'the audit knows who turned what');

-- an older order that is under way is waited for
SELECT t.later('2 hours'), postern.ip_release('192.0.2.1', 'x', false, 'officer');
SELECT is((SELECT generation FROM postern.claim_orders('hook', 'w', 1)), 2::bigint, 'open is under way');
SELECT t.hit('192.0.2.1', 'block');
SELECT is((SELECT count(*) FROM postern.claim_orders('hook', 'other', 1)), 0::bigint, 'closing it again waits for that');
SELECT is(postern.order_outcome('hook', '192.0.2.1', 2, 'done', ''), 'pending', 'its answer settles nothing');
SELECT is(t.state('192.0.2.1'), 'blocked', 'and opens nothing');
SELECT is((SELECT generation FROM postern.claim_orders('hook', 'other', 1)), 3::bigint, 'then the newer one goes out');
SELECT is((SELECT count(*) FROM postern.claim_orders('hook', 'w', 1)), 0::bigint, 'once');
SELECT t.later('61 seconds');
SELECT is(t.hook(), 1::bigint, 'again when its worker died');
SELECT is(t.orders(), '192.0.2.1 block_ports applied', 'closed');

-- the switch
SELECT t.hit('192.0.2.2', 'block'), postern.set_setting('enforcement', 'off', 'officer');
SELECT is(t.hook(), 0::bigint, 'switched off: no order');
SELECT matches((SELECT hindered FROM postern.reconcile_begin('hook')), 'setting enforcement is off', 'nor a comparison');
SELECT postern.set_setting('enforcement', 'on', 'officer');
SELECT is(t.hook(), 1::bigint, 'switched on: what waited');

-- limits
SELECT postern.set_adapter_limits('hook', 3, 100, 'officer'), t.later('2 minutes');
SELECT count(t.hit(('192.0.2.' || n)::inet, 'block')) FROM generate_series(10, 15) n;
SELECT is(t.hook(), 3::bigint, 'three units a minute');
SELECT is(t.hook(), 0::bigint, 'no more');
SELECT postern.ip_release('192.0.2.2', 'x', false, 'officer');
SELECT is(t.hook(), 1::bigint, 'opening does not wait');
SELECT t.later('1 minute');
SELECT is((SELECT count(*) FROM postern.claim_orders('hook', 'dead', 2)), 2::bigint, 'what is under way counts');
SELECT is(t.hook(), 1::bigint, 'too');
SELECT t.later('2 minutes');
SELECT is(t.hook(), 2::bigint, 'then the rest');
SELECT postern.set_adapter_limits('hook', 0, 4, 'officer');
SELECT t.hit(('192.0.2.' || n)::inet, 'block') FROM generate_series(20, 24) n;
SELECT is(t.hook(), 3::bigint, 'ten of a /24 are 4 %, seven were closed');
SELECT matches(t.alarm('order-held'), '10 addresses of 192.0.2.0/24 are closed already', 'the others wait and alarm');
SELECT matches((SELECT error FROM postern.enforcement WHERE unit = '192.0.2.24'), '^held: 10 addresses', 'the order says why');
SELECT postern.set_adapter_limits('hook', 0, 100, 'officer'), t.later('6 minutes');
SELECT is(t.hook(), 2::bigint, 'with a higher limit they go out');
SELECT is(t.alarm('order-held'), NULL, 'and the alarm settles');
SELECT t.hit('192.0.2.30', 'block'), postern.never_block_add('192.0.2.30/32', 'resolver', 'officer');
SELECT is(t.hook(), 0::bigint, 'never what is never blocked, also if it was blocked a moment before');
SELECT postern.ip_release('192.0.2.30', 'ours', true, 'officer');
SELECT is(t.hook(), 1::bigint, 'opening it is fine');

-- what is applied
SELECT is(t.compare(NULL), 0, 'one that cannot tell');
SELECT is((SELECT lists FROM api_v1.adapters WHERE adapter = 'hook'), false, 'is known as such');
SELECT string_agg(format('{"unit": "%s", "action": "block_ports", "ports": [25]}', host(unit)), E'\n') AS listing
  FROM postern.enforcement WHERE adapter = 'hook' AND action = 'block_ports' \gset
SELECT is(t.compare(:'listing'), 0, 'everything as wanted');
SELECT is(t.compare(E'\n' || replace(:'listing', '192.0.2.11"', '192.0.2.99"')), 2, 'one is missing, one is closed that nobody wants closed');
SELECT matches(t.orders(), '192.0.2.11 block_ports pending.*192.0.2.99 open pending', 'both are ordered');
SELECT matches(t.alarm('drift'), '^1 were missing.*1 were closed', 'and alarm');
SELECT is(t.hook(), 2::bigint, 'carried out');
SELECT is(t.state('192.0.2.11'), 'blocked', 'the unit''s state is not touched by that');
SELECT is(t.compare(replace(:'listing', '[25]}', '[25, 587]}')), (SELECT count(*)::int FROM postern.enforcement WHERE adapter = 'hook' AND action = 'block_ports'), 'other ports differ');
SELECT t.hook(), t.compare(:'listing');
SELECT is(t.alarm('drift'), NULL, 'as it should be: the alarm settles');
SELECT is(t.compare(:'listing' || E'\n{"unit": "192.0.2.77", "action": "freeze"}'), 0, 'a freeze that the database does not know');
SELECT matches(t.alarm('freeze-unknown'), '192.0.2.77', 'is not thawed: it alarms');
SELECT is((SELECT count(*) FROM postern.enforcement WHERE unit = '192.0.2.77'), 0::bigint, 'and gets no order');
SELECT throws_ok($$ SELECT t.compare('{"unit": "192.0.2.1", "action": "shut"}') $$, '23514', NULL, 'a line that means nothing is refused');
SELECT throws_ok($$ SELECT t.compare('closed: 7') $$, '22P02', NULL, 'so is one that is no JSON');
SELECT is(t.compare(NULL, 'it crashed'), NULL, 'it could not be asked');
SELECT is(t.alarm('drift-unknown'), 'what is applied could not be compared: it crashed', 'alarms');
SELECT t.compare(:'listing');
SELECT is(t.alarm('drift-unknown'), NULL, 'until it can be asked again');

-- address space that is sold
UPDATE postern.network SET during = tstzrange(lower(during), postern.now()) WHERE net = '192.0.2.0/24';
SELECT is(t.compare(NULL) > 0, true, 'what is closed in it is given again');
SELECT set_eq($$ SELECT DISTINCT action FROM postern.claim_orders('hook', 'w', 100) $$, ARRAY['open'], 'to be opened');
SELECT * FROM finish();
