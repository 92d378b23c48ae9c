-- SPDX-License-Identifier: Apache-2.0
-- What a mail about a case would say, without sending one.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION postern.mail_preview(p_kind text, p_case text, p_locale text,
        OUT contact_email text, OUT locale text, OUT tz text, OUT mail_from text, OUT vars jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    c postern.spam_case;
    v_warning postern.warning;
    v_block postern.block;
BEGIN
    SELECT x.* INTO c FROM postern.spam_case x
     WHERE x.public_id = upper(p_case)
        OR p_case ~ '^\d{1,12}$' AND x.public_id LIKE 'PST-____-' || lpad(p_case, greatest(6, length(p_case)), '0')
     ORDER BY x.id DESC LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no case %', p_case USING ERRCODE = 'PT006',
            HINT = 'Cases are named like PST-2026-000123; the number alone will do.';
    END IF;
    SELECT w.* INTO v_warning FROM postern.warning w WHERE w.case_id = c.id ORDER BY w.id DESC LIMIT 1;
    SELECT b.* INTO v_block FROM postern.block b WHERE b.case_id = c.id ORDER BY b.id DESC LIMIT 1;
    IF p_kind IN ('warning', 'reminder', 'resolved') AND v_warning.id IS NULL
       OR p_kind IN ('blocked', 'released') AND v_block.id IS NULL THEN
        RAISE EXCEPTION 'case % never had a %: there is nothing that a mail "%" could say', c.public_id,
            CASE WHEN p_kind IN ('blocked', 'released') THEN 'block' ELSE 'warning' END, p_kind USING ERRCODE = 'PT006';
    END IF;
    SELECT t.email, t.locale, t.tz INTO contact_email, locale, tz
      FROM postern.contact_for(c.customer, c.unit, '{}') AS t;
    locale := coalesce(nullif(p_locale, ''), locale, postern.setting('mail.locale'));
    tz := coalesce(tz, postern.setting('mail.tz'));
    mail_from := postern.setting('mail.from');
    vars := postern.mail_vars(p_kind, c.id,
        CASE WHEN p_kind IN ('warning', 'reminder', 'resolved') THEN v_warning.id END,
        CASE WHEN p_kind IN ('blocked', 'released') THEN v_block.id END,
        CASE WHEN p_kind IN ('blocked', 'released') THEN v_block.reason ELSE v_warning.reason END, tz);
END
$$;
COMMENT ON FUNCTION postern.mail_preview(text, text, text) IS 'To whom a mail of this kind about a case would go now, and with what data; nothing is written. The locale of the contact unless one is given';
GRANT EXECUTE ON FUNCTION postern.mail_preview(text, text, text) TO postern_officer, postern_auditor;

RESET ROLE;
