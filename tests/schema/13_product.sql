-- SPDX-License-Identifier: Apache-2.0
-- A product installation (no test clock): nobody moves its clock, and it starts in shadow mode.
SELECT plan(7);
SELECT ok(abs(extract(epoch FROM clock_timestamp() - postern.now())) < 1, 'its clock is the machine''s');
SELECT is_empty($$ SELECT * FROM postern.setting WHERE key LIKE 'test.%' $$, 'there is no setting test.clock');
INSERT INTO postern.setting (key, value, note) VALUES ('test.clock', 'offset:-86400', 'smuggled in');
SELECT ok(abs(extract(epoch FROM clock_timestamp() - postern.now())) < 1, 'and one that is put there moves nothing');
SELECT throws_ok($$ SELECT postern.set_setting('test.clock', 'system', 'x') $$, 'PT006', NULL, 'set_setting refuses it');
SELECT ok(NOT has_function_privilege('postern_owner', 'pg_catalog.pg_read_file(text)', 'EXECUTE'), 'its owner reads no file');
SELECT is_empty($$ SELECT 1 FROM pg_proc WHERE proname = 'read_clock_file' $$, 'nor does any function');
SELECT is(postern.mode(), 'shadow', 'it starts in shadow mode');
SELECT finish();
