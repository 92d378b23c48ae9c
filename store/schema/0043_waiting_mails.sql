-- SPDX-License-Identifier: Apache-2.0
-- The mails of a case, and those that wait for a customer, are found by case and by customer. As long
-- as few mails wait, PostgreSQL rather reads all that do, and a session keeps that plan while thousands
-- come: half the time of a verdict. A comparison that does not fit the small index leaves the right one.

SET LOCAL ROLE postern_owner;

DROP INDEX postern.outbox_open;
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT pg_get_functiondef(p.oid) AS text FROM pg_proc p
              WHERE p.pronamespace = 'postern'::regnamespace AND p.proname IN ('supersede_mails', 'first_try')
    LOOP
        EXECUTE replace(replace(f.text, 'state = ''pending'' AND', 'state || '''' = ''pending'' AND'),
                        'ANY (p_kinds) AND state = ''pending''', 'ANY (p_kinds) AND state || '''' = ''pending''');
    END LOOP;
END
$$;

RESET ROLE;
