-- SPDX-License-Identifier: Apache-2.0
-- A mail server that breaks off after DATA is counted apart from workers that died: a mail whose
-- worker was killed once may still be sent again after one broken answer, so it arrives.

SET LOCAL ROLE postern_owner;

ALTER TABLE postern.outbox ADD COLUMN broken int NOT NULL DEFAULT 0;
COMMENT ON COLUMN postern.outbox.broken IS 'Times a mail server broke off after DATA; the second makes it uncertain';
COMMENT ON COLUMN postern.outbox.resends IS 'Times it was sent again after breaking off within DATA, up to mail.resends if our workers died';

DO $$
DECLARE
    v_definition text := pg_get_functiondef('postern.mail_outcome(bigint, text, text, int, text)'::regprocedure);
    v_old text[] := ARRAY['o.resends >= 1 THEN ''uncertain''', 'resends = CASE v_state WHEN ''pending'' THEN 0 ELSE resends END,'];
    v_new text[] := ARRAY['o.broken >= 1 THEN ''uncertain''', 'resends = CASE v_state WHEN ''pending'' THEN 0 ELSE resends END,
           broken = CASE WHEN v_state = ''pending'' THEN 0 WHEN p_outcome = ''uncertain'' THEN broken + 1 ELSE broken END,'];
BEGIN
    FOR i IN 1 .. 2 LOOP
        ASSERT position(v_old[i] IN v_definition) > 0, 'mail_outcome() is not as expected';
        v_definition := replace(v_definition, v_old[i], v_new[i]);
    END LOOP;
    EXECUTE v_definition;
END
$$;

RESET ROLE;
