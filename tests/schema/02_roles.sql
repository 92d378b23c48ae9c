-- SPDX-License-Identifier: Apache-2.0
-- What each role may and may not, tried as that role.
\ir support.sql
SELECT t.some_history();
SELECT plan(60);

CREATE FUNCTION t.may(p_role text, p_sql text, p_what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET SESSION AUTHORIZATION %I', p_role);
    BEGIN
        EXECUTE p_sql;
    EXCEPTION WHEN OTHERS THEN
        RESET SESSION AUTHORIZATION;
        RETURN fail(format('%s may %s: %s', p_role, p_what, SQLERRM));
    END;
    RESET SESSION AUTHORIZATION;
    RETURN pass(format('%s may %s', p_role, p_what));
END
$$;
CREATE FUNCTION t.may_not(p_role text, p_sql text, p_what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET SESSION AUTHORIZATION %I', p_role);
    BEGIN
        EXECUTE p_sql;
    EXCEPTION WHEN insufficient_privilege THEN
        RESET SESSION AUTHORIZATION;
        RETURN pass(format('%s may not %s', p_role, p_what));
    END;
    RESET SESSION AUTHORIZATION;
    RETURN fail(format('%s may not %s, but it does', p_role, p_what));
END
$$;

SELECT set_eq($$ SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'postern\_%' AND rolcanlogin $$,
    ARRAY['postern_ingest', 'postern_desk', 'postern_mailer', 'postern_enforcer', 'postern_api', 'postern_analyst', 'postern_monitor'],
    'programs log in, owner, freezer and people''s roles do not');
SELECT is_empty($$ SELECT rolname FROM pg_roles WHERE rolname LIKE 'postern\_%'
                    AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication) $$,
    'no role is above the others');

SELECT is_empty($$ SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('postern'::regnamespace, 'api_v1'::regnamespace)
                      AND c.relkind IN ('r', 'p', 'v') AND c.relname <> 'hash_key' AND NOT has_table_privilege('postern_auditor', c.oid, 'SELECT') $$,
    'the auditor reads every table and view but the key of the hashes');

-- Exactly these functions and writable tables, beside what everyone may: now, mode, setting, unit_text.
-- Who adds one says here who may.
SELECT set_eq($$ SELECT r.rolname::text, p.proname::text FROM pg_roles r CROSS JOIN pg_proc p
                      WHERE p.pronamespace IN ('postern'::regnamespace, 'api_v1'::regnamespace)
                        AND r.rolname LIKE 'postern\_%' AND r.rolname NOT IN ('postern_owner', 'postern_test_clock')
                        AND has_function_privilege(r.oid, p.oid, 'EXECUTE') AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
                      GROUP BY 1, 2 $$,
    $$ SELECT role, f FROM (VALUES
  ('postern_analyst', 'activity_of block_months ip_timeline is_ours measure_for mode_preview setting_interval time_text top_senders_between units_in
    verdict_reasons'),
  ('postern_api', 'make_statement request_unblock'),
  ('postern_auditor', 'activity_of block_months enforce_readiness shadow_week ip_timeline is_ours mail_preview measure_for mode_preview setting_interval time_text top_senders_between units_in
    verdict_reasons verify_audit'),
  ('postern_desk', 'apply_complaint apply_verdict claim_complaints claim_verdicts commit_freeze due_freezes due_timers expirable expire fire_timer mail_bounced
    make_partitions note_apply_error raise_alarm seal_audit'),
  ('postern_enforcer', 'claim_orders note_apply_error order_outcome raise_alarm reconcile reconcile_begin'),
  ('postern_freezer', 'commit_freeze lock_unit transition'),
  ('postern_ingest', 'make_partitions record_evidence take_partition'),
  ('postern_mailer', 'claim_mail mail_bounced mail_outcome mail_sending note_apply_error raise_alarm settle_mail'),
  ('postern_monitor', 'enforce_readiness shadow_week is_ours measure_for mode_preview setting_interval time_text verdict_reasons verify_audit'),
  ('postern_officer', 'activity_of block_months enforce_readiness shadow_week clear_alarm customers_import_apply customers_import_begin customers_import_diff customers_import_digest decide_dispute expirable expire
    extend_deadline freeze_approve freeze_confirm freeze_propose freeze_reject freeze_restore ip_exempt ip_exempt_end ip_release ip_timeline
    is_ours mail_preview make_statement measure_for mode_preview never_freeze_add never_freeze_remove network_add
    network_end network_end_preview never_block_add never_block_remove reporter_enrol request_unblock set_adapter set_adapter_limits set_enforcement set_limits set_mode set_setting
    setting_interval settle_reply time_text top_senders_between units_in verdict_reasons verify_audit')) AS v (role, functions), regexp_split_to_table(functions, '\s+') AS f $$, 'who may call what');
SELECT set_eq($$ SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace IN ('postern'::regnamespace, 'api_v1'::regnamespace)
                    AND has_function_privilege('public', p.oid, 'EXECUTE') $$, ARRAY['now', 'mode', 'setting', 'unit_text'], 'and what everyone may');
SELECT set_eq($$ SELECT r.rolname::text, c.relname::text FROM pg_roles r CROSS JOIN pg_class c
                      WHERE c.relnamespace IN ('postern'::regnamespace, 'api_v1'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
                        AND r.rolname LIKE 'postern\_%' AND r.rolname NOT IN ('postern_owner', 'postern_test_clock')
                        AND (has_any_column_privilege(r.oid, c.oid, 'INSERT') OR has_any_column_privilege(r.oid, c.oid, 'UPDATE')
                             OR has_table_privilege(r.oid, c.oid, 'DELETE')) $$,
    $$ SELECT role, f FROM (VALUES
  ('postern_freezer', 'ip_freeze'),
  ('postern_ingest', 'bus_offset bus_producer exporter_ledger exporter_loss scorer_input_applied smtp_activity unit_envelope
    unit_waiting verdict')) AS v (role, tables), regexp_split_to_table(tables, '\s+') AS f $$, 'who may write where');

-- the scorer
SELECT t.may('postern_ingest', $$SELECT postern.take_partition(0, 8, 'scorer-1')$$, 'take a partition');
SELECT t.may('postern_ingest', $$UPDATE postern.bus_offset SET position = 5, updated_at = postern.now() WHERE partition = 0 AND epoch = 1 AND position = -2 AND topic = 'postern.smtp'$$, 'move its position');
SELECT t.may_not('postern_ingest', $$UPDATE postern.bus_offset SET epoch = 9$$, 'change an epoch');
SELECT t.may('postern_ingest', $$INSERT INTO postern.smtp_activity AS a VALUES ('192.0.2.9', postern.now(), 1, 1, 1, 1, 0, 1) ON CONFLICT (unit, bucket) DO UPDATE SET sessions = a.sessions + excluded.sessions$$, 'add activity');
SELECT t.may('postern_ingest', $$INSERT INTO postern.bus_producer VALUES ('postern.smtp', 0, 'p', 1, 1, postern.now()) ON CONFLICT (topic, partition, producer) DO UPDATE SET sequence = 2$$, 'note a producer');
SELECT t.may('postern_ingest', $$INSERT INTO postern.exporter_loss AS l (hour, exporter, domain, received) VALUES (postern.now(), '10.0.0.2', 0, 5) ON CONFLICT (hour, exporter, domain) DO UPDATE SET received = l.received + 5$$, 'add losses');
SELECT t.may('postern_ingest', $$INSERT INTO postern.exporter_ledger AS l VALUES ('10.0.0.2', 0, 1, 5, 1, 10, 0, 0, postern.now()) ON CONFLICT (exporter, domain, ledger) DO UPDATE SET expected = excluded.expected$$, 'note how far a ledger has come');
SELECT t.may('postern_ingest', $$DELETE FROM postern.exporter_ledger WHERE seen_at < postern.now() - interval '30 days'$$, 'forget silent ledgers');
SELECT t.may('postern_ingest', $$INSERT INTO postern.verdict (unit, partition, position, episode, band, crossed_at, received_at, first_at, last_at, evidence, score, sessions_seen, sessions_low, destinations_seen, usual, window_s, channel, pair, failed, ports, sampling, cold, exporters, model) SELECT unit, partition, position, episode, band, crossed_at, received_at, first_at, last_at, evidence, score, sessions_seen, sessions_low, destinations_seen, usual, window_s, channel, pair, failed, ports, sampling, cold, exporters, model FROM postern.verdict LIMIT 1 ON CONFLICT (unit, episode, band) DO NOTHING$$, 'insert verdicts');
SELECT t.may('postern_ingest', $$UPDATE postern.verdict SET ended_at = postern.now(), last_at = postern.now(), samples = '[]' WHERE id = 1$$, 'complete a verdict');
SELECT t.may_not('postern_ingest', $$UPDATE postern.verdict SET applied_at = postern.now()$$, 'mark a verdict applied');
SELECT t.may_not('postern_ingest', $$DELETE FROM postern.verdict$$, 'delete verdicts');
SELECT t.may('postern_ingest', $$SELECT count(*) FROM postern.assignments_for_scoring, postern.exemptions_for_scoring, postern.networks_in_force, postern.scorer_input, postern.setting$$, 'read what scoring needs');
SELECT t.may('postern_ingest', $$SELECT postern.make_partitions()$$, 'make partitions');
SELECT t.may_not('postern_ingest', $$SELECT * FROM postern.customer$$, 'read customers');
SELECT t.may_not('postern_ingest', $$SELECT postern.apply_verdict(1)$$, 'apply verdicts');
SELECT t.may_not('postern_ingest', $$UPDATE postern.ip_state SET state = 'clear'$$, 'move a unit');
-- the dispatcher's roles
SELECT t.may('postern_desk', $$SELECT postern.apply_verdict(id) FROM postern.claim_verdicts(10) AS id$$, 'apply verdicts');
SELECT t.may('postern_desk', $$SELECT postern.apply_complaint(id) FROM postern.claim_complaints(10) AS id$$, 'apply complaints');
SELECT t.may('postern_desk', $$SELECT postern.fire_timer(id) FROM postern.due_timers(10) AS id$$, 'fire timers');
SELECT t.may_not('postern_desk', $$SELECT postern.transition('192.0.2.1', 'released', 'me')$$, 'move a unit by itself');
SELECT t.may_not('postern_desk', $$UPDATE postern.verdict SET applied_at = NULL$$, 'touch tables');
SELECT t.may_not('postern_desk', $$SELECT * FROM postern.claim_mail('w', '1 minute', 1)$$, 'take mails');
SELECT t.may('postern_mailer', $$SELECT postern.mail_sending(id, 'w'), postern.mail_outcome(id, 'w', 'done', 250, '') FROM postern.claim_mail('w', '1 minute', 5)$$, 'send mails');
SELECT t.may_not('postern_mailer', $$SELECT postern.apply_verdict(1)$$, 'apply verdicts');
SELECT t.may_not('postern_mailer', $$SELECT * FROM postern.claim_orders('null', 'w', 1)$$, 'take orders');
SELECT t.may('postern_enforcer', $$SELECT postern.order_outcome('null', unit, generation, 'done', '') FROM postern.claim_orders('null', 'w', 5)$$, 'carry out orders');
SELECT t.may_not('postern_enforcer', $$SELECT * FROM postern.claim_mail('w', '1 minute', 1)$$, 'take mails');
SELECT t.may_not('postern_enforcer', $$SELECT postern.ip_release('192.0.2.1', 'x', false, 'me')$$, 'release');
-- the API
SELECT t.may('postern_api', $$SELECT postern.request_unblock('192.0.2.1', 'C1'), postern.make_statement('192.0.2.1', 'C1', 'fixed', 'x')$$, 'unblock and state for a customer');
SELECT t.may_not('postern_api', $$SELECT postern.ip_release('192.0.2.1', 'x', false, 'me')$$, 'release');
SELECT t.may_not('postern_api', $$SELECT * FROM postern.ip_state$$, 'read tables');
-- people
CREATE ROLE test_officer LOGIN IN ROLE postern_officer;
SELECT t.may('test_officer', $$SELECT postern.ip_release('192.0.2.1', 'x', false, 'me'), postern.ip_exempt('192.0.2.4', 50, postern.now() + interval '1 day', 'list', 'me'), postern.set_setting('ladder', '60,120', 'me'), postern.set_mode('enforce', 'me')$$, 'release, exempt, set');
SELECT t.may('test_officer', $$SELECT postern.customers_import_begin(); INSERT INTO import_row (net, customer, line) VALUES ('192.0.2.0/24', 'C3', 2); SELECT count(*) FROM postern.customers_import_diff(); SELECT postern.customers_import_apply(true, 'me')$$, 'import customers');
SELECT t.may('test_officer', $$SELECT * FROM api_v1.blocks_active; SELECT * FROM api_v1.ip_timeline('192.0.2.1')$$, 'read api_v1');
SELECT t.may_not('test_officer', $$UPDATE postern.ip_state SET level = 0$$, 'write tables');
SELECT t.may_not('test_officer', $$INSERT INTO postern.ip_freeze VALUES ('192.0.2.1', postern.now(), 'C1', NULL, 1, 'z', 'a', 'b')$$, 'freeze past the gate');
SELECT t.may_not('test_officer', $$SELECT postern.commit_freeze(1)$$, 'commit a freeze himself');
SELECT t.may_not('test_officer', $$SELECT postern.apply_verdict(1)$$, 'do the dispatcher''s work');
SELECT t.may('postern_analyst', $$SELECT * FROM api_v1.blocks_active; SELECT * FROM api_v1.block_history; SELECT * FROM api_v1.freezes; SELECT * FROM api_v1.deadlines; SELECT * FROM api_v1.top_senders; SELECT * FROM api_v1.mail_status; SELECT * FROM api_v1.enforcement_desired; SELECT * FROM api_v1.exporter_loss; SELECT * FROM api_v1.exporters; SELECT * FROM api_v1.repeat_offenders; SELECT * FROM api_v1.false_positive_rate; SELECT * FROM api_v1.cases; SELECT * FROM api_v1.verdicts; SELECT * FROM api_v1.complaints; SELECT * FROM api_v1.alarms; SELECT * FROM api_v1.audit; SELECT * FROM api_v1.evidence$$, 'read every view of api_v1');
SELECT t.may('postern_analyst', $$SELECT * FROM api_v1.units_in('192.0.2.0/24'); SELECT * FROM api_v1.ip_timeline('192.0.2.1'); SELECT * FROM api_v1.top_senders_between('2026-05-01', '2026-05-02')$$, 'call its functions');
SELECT t.may_not('postern_analyst', $$SELECT * FROM postern.outbox$$, 'read the tables behind');
SELECT t.may_not('postern_analyst', $$SELECT postern.ip_release('192.0.2.1', 'x', false, 'me')$$, 'release');
SELECT t.may('postern_auditor', $$SELECT * FROM postern.audit_event; SELECT * FROM postern.outbox$$, 'read everything');
SELECT t.may_not('postern_auditor', $$DELETE FROM postern.audit_event$$, 'change the audit');
SELECT t.may('postern_monitor', $$SELECT * FROM postern.due; SELECT * FROM postern.noc_alarm$$, 'see what is due and what alarms');
SELECT t.may_not('postern_monitor', $$SELECT * FROM postern.outbox$$, 'read mails');
SELECT t.may_not('postern_monitor', $$SELECT postern.set_mode('shadow', 'x')$$, 'change the mode');
SELECT t.may_not('test_officer', $$CREATE FUNCTION postern.f() RETURNS int LANGUAGE sql AS 'SELECT 1'$$, 'create anything in the schema');
SELECT t.may('postern_desk', $$SELECT postern.seal_audit(10)$$, 'seal the audit');
SELECT t.may_not('postern_desk', $$SELECT * FROM postern.verify_audit()$$, 'read it');
SELECT t.may_not('postern_mailer', $$SELECT postern.seal_audit(10)$$, 'seal the audit');
SELECT t.may('postern_auditor', $$SELECT * FROM postern.verify_audit(); SELECT * FROM api_v1.audit_seals$$, 'verify the audit');
SELECT t.may('test_officer', $$SELECT postern.ip_exempt_end('192.0.2.4', 'over', 'me')$$, 'end an exemption');
DROP ROLE test_officer;
SELECT finish();
