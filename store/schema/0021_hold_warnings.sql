-- SPDX-License-Identifier: Apache-2.0
-- A fast burst is flagged and, seconds later, blocked: its warning would arrive beside the mail that
-- says that it is blocked. So the warning that a verdict brings waits for a moment; a block within
-- it supersedes it, unsent. The deadline counts from the mail's acceptance: nobody loses time.

SET LOCAL ROLE postern_owner;

INSERT INTO postern.setting (key, value, kind, low, high, choices, note) VALUES
 ('mail.warning_hold', '60', 'int', 0, 3600, NULL, 'A warning that a verdict brings waits so long, in case a block follows at once, seconds');

CREATE OR REPLACE FUNCTION postern.effect_warn(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_case_id bigint := postern.case_for(m);
    v_category text := postern.worst_category(v_case_id);
    v_reason text := postern.reasons_for(m);
    v_cause text := CASE WHEN m.detail ? 'verdict_id' THEN 'verdict' ELSE 'complaint' END;
    v_warning_id bigint;
    v_mail_id bigint;
BEGIN
    INSERT INTO postern.warning (case_id, unit, customer, cause, category, repeat, reason, ports,
        state, opened_at, duration)
    VALUES (v_case_id, m.unit, m.customer, v_cause, v_category,
        1 + (SELECT count(*) FROM postern.warning w
              WHERE w.unit = m.unit AND w.customer = m.customer AND w.category = v_category
                AND w.state <> 'withdrawn'),
        v_reason, postern.ports_for((m.detail ->> 'verdict_id')::bigint), 'mailing', m.at,
        postern.setting_interval('deadline.hours'))
    RETURNING id INTO v_warning_id;
    v_mail_id := postern.enqueue_mail('warning', v_case_id, v_warning_id, NULL, v_reason, v_warning_id::text);
    IF v_mail_id IS NULL THEN
        PERFORM postern.suspend_warning(v_warning_id, 'the customer has no contact');
    ELSIF v_cause = 'verdict' THEN
        UPDATE postern.outbox SET next_at = m.at + make_interval(secs => postern.setting_number('mail.warning_hold'))
         WHERE id = v_mail_id;
    END IF;
    RETURN jsonb_build_object('action', 'warned', 'case_id', v_case_id, 'warning_id', v_warning_id);
END
$$;
COMMENT ON FUNCTION postern.effect_warn(postern.move) IS 'Case, warning, mail; the clock starts when the mail is accepted. The mail of a verdict waits for mail.warning_hold seconds';

-- The views put a case's sentences into one line; a mark between them tells where one ends.
DO $$
DECLARE
    v name;
BEGIN
    FOREACH v IN ARRAY '{block_history,deadlines,enforcement_desired,verdicts}'::name[] LOOP
        EXECUTE format('CREATE OR REPLACE VIEW api_v1.%I AS %s', v,
            replace(replace(pg_get_viewdef(format('api_v1.%I', v)::regclass),
                            $f$'
'::text, ' '::text)$f$, $f$E'\n'::text, ' | '::text)$f$),
                    $f$verdict_reasons(v.id), ' '::text)$f$, $f$verdict_reasons(v.id), ' | '::text)$f$));
    END LOOP;
END
$$;

RESET ROLE;
