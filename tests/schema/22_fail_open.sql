-- SPDX-License-Identifier: Apache-2.0
-- Blocks that fail open and are refreshed before, the switch that lifts them, orders that are late.
\ir support.sql
SELECT t.enforce();
SELECT plan(55);

CREATE FUNCTION t.hook(p_outcome text DEFAULT 'done', p_max int DEFAULT 100) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat_ws(' ', host(o.unit), o.action, o.ttl_s), ', ' ORDER BY o.unit)
               || substr('', 1, count(postern.order_outcome('hook', o.unit, o.generation, p_outcome, 'as the test wants it'))::int), '')
      FROM postern.claim_orders('hook', 'w', p_max) AS o
$$;
CREATE FUNCTION t.order(p_unit inet) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', action, state, applied_action, '+' || (expires_at - postern.now())) FROM postern.enforcement
     WHERE adapter = 'hook' AND unit = p_unit
$$;
CREATE FUNCTION t.alarm(p_kind text) RETURNS text LANGUAGE sql AS
    'SELECT detail FROM postern.noc_alarm WHERE kind = p_kind AND cleared_at IS NULL';
CREATE FUNCTION t.freeze(p_unit inet) RETURNS void LANGUAGE sql AS $$
    SELECT t.hit(p_unit, 'block'), postern.transition(p_unit, 'listed', 'dnsbl', '{"zone": "zen.example"}'),
           postern.transition(p_unit, 'freeze_approved', 'officer');
    SELECT t.later('24 hours');
    UPDATE postern.freeze_proposal SET confirmed_at = postern.now() WHERE unit = p_unit;
    SELECT postern.commit_freeze(id) FROM postern.freeze_proposal WHERE unit = p_unit;
$$;

SELECT postern.set_adapter('hook', true, true, 'officer'), postern.set_adapter('null', false, false, 'officer');
SELECT postern.set_limits('hook', 0, 100, NULL, 'officer');

-- a block has a time to live and is refreshed within it
SELECT is((SELECT ttl_s FROM api_v1.adapters WHERE adapter = 'hook'), 21600, 'six hours, unless somebody says otherwise');
SELECT t.hit('192.0.2.1', 'block');
SELECT is(t.hook(), '192.0.2.1 block_ports 21600', 'an order to block says for how long');
SELECT is(t.order('192.0.2.1'), 'block_ports applied block_ports +06:00:00', 'and it is known until when');
SELECT isnt((SELECT enforced_at FROM postern.block), NULL, 'the block is in force');
SELECT t.later('1 hour 59 minutes');
SELECT is(t.hook(), '', 'nothing to refresh yet');
SELECT count(*) AS audits FROM postern.audit_event \gset
SELECT applied_at AS closed FROM postern.enforcement WHERE unit = '192.0.2.1' AND adapter = 'hook' \gset
SELECT t.later('1 minute');
SELECT is(t.hook('retry'), '192.0.2.1 block_ports 21600', 'after a third it is given again');
SELECT is(t.order('192.0.2.1'), 'block_ports pending block_ports +04:00:00', 'put off, it is still closed');
SELECT t.later('10 minutes');
SELECT is(t.hook(), '192.0.2.1 block_ports 21600', 'and tried again');
SELECT is(t.order('192.0.2.1'), 'block_ports applied block_ports +06:00:00', 'six more hours');
SELECT is((SELECT count(*) FROM postern.audit_event), :audits::bigint, 'that is no event of the unit');
SELECT is((SELECT applied_at FROM postern.enforcement WHERE unit = '192.0.2.1' AND adapter = 'hook'), :'closed', 'it is closed since it was closed');

-- limits let a refreshment through
SELECT postern.set_limits('hook', 1, 1, NULL, 'officer');
SELECT t.hit('192.0.2.2', 'block'), t.later('2 hours');
SELECT is(t.hook(), '192.0.2.1 block_ports 21600, 192.0.2.2 block_ports 21600', 'one new unit a minute, beside what is refreshed');
SELECT t.hit('192.0.2.3', 'block');
SELECT is(t.hook(), '', 'no second one');
SELECT postern.set_limits('hook', 0, 100, NULL, 'officer');
SELECT is(t.hook(), '192.0.2.3 block_ports 21600', 'without a limit');

-- nobody refreshed it
SELECT t.later('7 hours');
SELECT is((SELECT expired FROM api_v1.adapters WHERE adapter = 'hook'), 3::bigint, 'they are open in the network, and that is known');
SELECT is(t.hook(), '192.0.2.1 block_ports 21600, 192.0.2.2 block_ports 21600, 192.0.2.3 block_ports 21600', 'whoever comes back closes them');
SELECT matches(t.alarm('order-expired'), 'was open in the network from .* on: nobody had refreshed', 'and alarms');
SELECT is((SELECT times FROM postern.noc_alarm WHERE kind = 'order-expired'), 3, 'once, with a count');
SELECT is((SELECT expired FROM api_v1.adapters WHERE adapter = 'hook'), 0::bigint, 'all is well again');
SELECT t.later('7 hours'), postern.set_limits('hook', 2, 100, NULL, 'officer');
SELECT is(t.hook(), '192.0.2.1 block_ports 21600, 192.0.2.2 block_ports 21600', 'what was open meanwhile is closed under the limit');
SELECT postern.set_limits('hook', 0, 100, NULL, 'officer'), t.hook();

-- a freeze has no time to live
SELECT t.freeze('192.0.2.4'), t.hook();
SELECT is(t.order('192.0.2.4'), 'freeze applied freeze', 'a freeze is never forgotten');
SELECT t.later('30 days'), t.hook();
SELECT is(t.order('192.0.2.4'), 'freeze applied freeze', 'nor given again');

-- another time to live
SELECT is(postern.set_limits('hook', NULL, NULL, '0', 'officer'), 3, 'what is closed is given again with it');
SELECT is(t.hook(), '192.0.2.1 block_ports, 192.0.2.2 block_ports, 192.0.2.3 block_ports', 'now for as long as it is wanted');
SELECT is(t.order('192.0.2.1'), 'block_ports applied block_ports', 'no end');
SELECT is(postern.set_limits('hook', 5, NULL, '0', 'officer'), 0, 'other limits order nothing');
SELECT is((SELECT net_share_percent FROM api_v1.adapters WHERE adapter = 'hook'), 100, 'and leave what is not named');
SELECT throws_ok($$ SELECT postern.set_limits('hook', NULL, NULL, '10 seconds', 'officer') $$, 'PT006', NULL, 'ten seconds are no time to live');
SELECT throws_ok($$ SELECT postern.set_limits('hook', NULL, 0, NULL, 'officer') $$, 'PT006', NULL, 'no share at all is none');
SELECT throws_ok($$ SELECT postern.set_limits('hok', 1, NULL, NULL, 'officer') $$, 'PT006', 'there is no adapter "hok"', 'an adapter that is none');
SELECT postern.set_limits('hook', 0, 100, '6 hours', 'officer'), t.hook();

-- the switch: stopped
SELECT throws_ok($$ SELECT postern.set_enforcement('off', ' ', 'officer') $$, 'PT006', NULL, 'the switch needs a reason');
SELECT is(postern.set_enforcement('off', 'the router loops', 'officer'), 'on', 'off');
SELECT is((SELECT detail ->> 'reason' FROM postern.audit_event WHERE event = 'enforcement'), 'the router loops', 'it stands in the audit');
SELECT t.hit('192.0.2.5', 'block'), t.later('3 hours');
SELECT is(t.hook(), '', 'nothing is closed, nothing is refreshed');
SELECT postern.set_enforcement('on', 'it is mended', 'officer');
SELECT matches(t.hook(), '192.0.2.1 .* 192.0.2.5 ', 'on again: both');

-- the switch: lifted
SELECT t.hit('192.0.2.6', 'block');
SELECT is((SELECT count(*) FROM postern.claim_orders('hook', 'w', 1)), 1::bigint, 'one is being closed meanwhile');
SELECT postern.set_enforcement('lift', 'they are all wrong', 'officer');
SELECT t.hit('192.0.2.7', 'block');
SELECT is(postern.order_outcome('hook', '192.0.2.6', 1, 'done', ''), 'pending', 'it was closed: that is not the end of it');
SELECT is(t.hook(), '192.0.2.1 open, 192.0.2.2 open, 192.0.2.3 open, 192.0.2.5 open, 192.0.2.6 open, 192.0.2.7 open', 'every block is opened');
SELECT is(t.order('192.0.2.1'), 'block_ports lifted open', 'wanted closed, and open');
SELECT is(t.order('192.0.2.4'), 'freeze applied freeze', 'the freeze stays');
SELECT is(t.state('192.0.2.1'), 'blocked', 'its state is what it was');
SELECT is((SELECT enforced_at FROM postern.block WHERE unit = '192.0.2.7'), NULL, 'a block that was never closed is not in force');
SELECT is(t.hook(), '', 'once');
SELECT postern.ip_release('192.0.2.2', 'cleaned', false, 'officer');
SELECT is(t.hook(), '192.0.2.2 open', 'a release while all are lifted');
SELECT is(t.state('192.0.2.2'), 'clear', 'is one');
SELECT is((SELECT lifted FROM api_v1.adapters WHERE adapter = 'hook'), 5::bigint, 'the others wait');
SELECT t.later('1 second');
SELECT is(postern.reconcile('hook', (SELECT since FROM postern.reconcile_begin('hook')), '{"unit": "192.0.2.1", "action": "block_ports", "ports": [25]}
{"unit": "192.0.2.4", "action": "freeze"}', NULL), 1, 'one that is closed all the same');
SELECT is(t.hook(), '192.0.2.1 open', 'is opened again');
SELECT postern.set_enforcement('on', 'all is well', 'officer');
SELECT is(t.hook(), '192.0.2.1 block_ports 21600, 192.0.2.3 block_ports 21600, 192.0.2.5 block_ports 21600, 192.0.2.6 block_ports 21600, 192.0.2.7 block_ports 21600', 'on: what is still blocked is closed again');
SELECT isnt((SELECT enforced_at FROM postern.block WHERE unit = '192.0.2.7'), NULL, 'now it is in force');
SELECT is(postern.set_enforcement('on', 'all is well', 'officer'), 'on', 'on twice');
SELECT is((SELECT count(*) FROM postern.audit_event WHERE event = 'enforcement'), 4::bigint, 'is no news');

-- put off for long
SELECT t.hit('192.0.2.8', 'block'), t.hook('retry'), t.later('16 minutes');
SELECT is(t.alarm('order-late'), NULL, 'ten seconds are not late');
SELECT t.hook('retry');
SELECT matches(t.alarm('order-late'), '^block ports of 192.0.2.8 is wanted since .* and put off: as the test wants it', 'a quarter of an hour is');
SELECT t.later('5 minutes'), t.hook();
SELECT is(t.alarm('order-late'), NULL, 'done: the alarm settles');
SELECT finish();
