-- SPDX-License-Identifier: Apache-2.0
-- Every object says what it is, belongs to the owner, and gives nothing away.
\ir support.sql
SELECT plan(13);

SELECT is_empty($$ SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname IN ('postern', 'api_v1') AND c.relkind IN ('r', 'p', 'v', 'S')
                      AND obj_description(c.oid, 'pg_class') IS NULL
                      AND NOT (c.relkind = 'S' AND c.relname LIKE '%\_id\_seq') $$,
    'every table, view and sequence has a comment');
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                    WHERE n.nspname IN ('postern', 'api_v1') AND obj_description(p.oid, 'pg_proc') IS NULL $$,
    'every function has a comment');
SELECT is_empty($$ SELECT c.oid::regclass, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                    WHERE c.relnamespace = 'api_v1'::regnamespace AND c.relkind IN ('v', 'm') AND col_description(c.oid, a.attnum) IS NULL $$,
    'every column of api_v1 has a comment');
SELECT is_empty($$ SELECT c.oid::regclass, pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname IN ('postern', 'api_v1') AND pg_get_userbyid(c.relowner) <> 'postern_owner'
                      AND c.relname NOT LIKE 'schema_migration%' $$,
    'postern_owner owns every relation');
SELECT set_eq($$ SELECT p.oid::regprocedure::text, pg_get_userbyid(p.proowner)::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                  WHERE n.nspname IN ('postern', 'api_v1') AND pg_get_userbyid(p.proowner) <> 'postern_owner' $$,
    $$ VALUES ('postern.commit_freeze(bigint)', 'postern_freezer'), ('postern.read_clock_file(text)', 'postern_test_clock') $$,
    'postern_owner owns every function but the freezer''s, and the test clock''s');
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                    WHERE n.nspname IN ('postern', 'api_v1')
                      AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search\_path=pg\_catalog,%') $$,
    'every function pins its search_path');
SELECT set_eq($$ SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                  WHERE n.nspname IN ('postern', 'api_v1') AND has_function_privilege('public', p.oid, 'EXECUTE') $$,
    ARRAY['now', 'setting', 'mode', 'unit_text'],
    'PUBLIC may execute the harmless ones only');
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
                          LATERAL aclexplode(p.proacl) AS a
                    WHERE n.nspname = 'postern' AND a.grantee <> p.proowner AND NOT p.prosecdef
                      AND p.proname NOT IN ('unit_text', 'time_text') $$,
    'whatever a role may call runs with its owner''s rights');
SELECT is_empty($$ SELECT c.oid::regclass, a.grantee::regrole FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
                          LATERAL aclexplode(c.relacl) AS a
                    WHERE n.nspname IN ('postern', 'api_v1') AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT'
                      AND a.grantee NOT IN ('postern_ingest'::regrole, 'postern_freezer'::regrole) $$,
    'only the scorer and the freezer write into tables; everyone else calls functions');
SELECT is_empty($$ SELECT c.oid::regclass, c.reloptions FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = 'api_v1' AND c.relkind = 'v' AND c.reloptions IS NOT NULL $$,
    'analysts'' views are plain: owner''s rights, no barrier');

SELECT is_empty($$ SELECT viewname FROM pg_views WHERE schemaname = 'api_v1' AND definition LIKE E'%reason, \'\n\'::text, \' \'::text)%' $$,
    'between the sentences of a reason stands a mark');
SELECT is_empty($$ SELECT s.key FROM postern.setting s
                    WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'postern'::regnamespace AND strpos(p.prosrc, quote_literal(s.key)) > 0)
                      AND NOT EXISTS (SELECT FROM pg_views v WHERE v.schemaname = 'postern' AND strpos(v.definition, quote_literal(s.key)) > 0) $$,
    'something reads every setting');

-- customers_import_begin() makes it; the checker wants to see it.
SELECT postern.customers_import_begin();
SELECT is_empty($$
    SELECT p.oid::regprocedure, c.* FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
      JOIN pg_namespace n ON n.oid = p.pronamespace,
           LATERAL plpgsql_check_function(p.oid, relid => CASE WHEN p.prorettype = 'trigger'::regtype THEN
               (SELECT g.tgrelid FROM pg_trigger g WHERE g.tgfoid = p.oid LIMIT 1) ELSE 0 END,
               performance_warnings => false,
               oldtable => (SELECT g.tgoldtable FROM pg_trigger g WHERE g.tgfoid = p.oid LIMIT 1),
               newtable => (SELECT g.tgnewtable FROM pg_trigger g WHERE g.tgfoid = p.oid LIMIT 1)) AS c
     WHERE l.lanname = 'plpgsql' AND n.nspname IN ('postern', 'api_v1')
       AND c NOT LIKE '%never read variable%' $$,
    'plpgsql_check finds nothing in any function');
SELECT finish();
