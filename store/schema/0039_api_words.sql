-- SPDX-License-Identifier: Apache-2.0
-- api_v1 as the abuse team reads it: every column says what it is, names stand beside numbers, and what
-- needed a table of ours has a view: tenancies, exemptions, and what shadow mode would have done.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION pg_temp.append(p_view text, p_columns text, p_joins text) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW api_v1.%I AS SELECT x.*, %s FROM (%s) AS x %s', p_view, p_columns,
                   rtrim(pg_get_viewdef(format('api_v1.%I', p_view)::regclass), ';'), p_joins);
END
$$;
SELECT pg_temp.append(v, 'u.name AS customer_name', 'LEFT JOIN postern.customer u ON u.id = x.customer')
  FROM unnest(ARRAY['mail_status', 'complaints', 'freezes']) AS v;
SELECT pg_temp.append('verdicts', 'u.name AS customer_name, ARRAY(SELECT r ->> ''name'' FROM jsonb_array_elements(v.reasons) AS r) AS reason_names',
    'JOIN postern.verdict v ON v.id = x.id LEFT JOIN postern.customer u ON u.id = x.customer');
SELECT pg_temp.append('replies', 'x."case" AS case_id, u.name AS customer_name', 'LEFT JOIN postern.customer u ON u.id = x.customer');
SELECT pg_temp.append('audit', 'c.public_id AS case_id',
    'JOIN postern.audit_event a ON a.id = x.id LEFT JOIN postern.spam_case c ON c.id = a.case_id');

CREATE VIEW api_v1.tenancies AS
    SELECT a.net::inet AS net, a.customer, u.name AS customer_name, a.type, a.service_name, a.unit_len, a.shared,
           lower(a.during) AS since, upper(a.during) AS until,
           ARRAY(SELECT k.kind || ':' || k.email FROM postern.contact k
                  WHERE k.customer = a.customer AND (k.net IS NULL OR k.net && a.net) ORDER BY k.kind, k.email) AS contacts
      FROM postern.ip_assignment a JOIN postern.customer u ON u.id = a.customer;
COMMENT ON VIEW api_v1.tenancies IS 'Which customer had which addresses when, and who is written to. net >>= an address: whose it is; the most specific net wins';
COMMENT ON COLUMN api_v1.tenancies.net IS 'Address or prefix';
COMMENT ON COLUMN api_v1.tenancies.type IS 'What it is used for, in the hoster''s words: dedicated, vps, cloud …';
COMMENT ON COLUMN api_v1.tenancies.service_name IS 'Name of the machine or product at the hoster';
COMMENT ON COLUMN api_v1.tenancies.unit_len IS 'Length of the prefix that is judged and blocked as one';
COMMENT ON COLUMN api_v1.tenancies.shared IS 'Many users behind one address: never frozen';
COMMENT ON COLUMN api_v1.tenancies.since IS 'Since when; NULL: as long as anything is known';
COMMENT ON COLUMN api_v1.tenancies.until IS 'Until when; NULL: still';
COMMENT ON COLUMN api_v1.tenancies.contacts IS 'Today''s mailboxes of the customer for this net, with their kind: security, abuse, owner';

CREATE VIEW api_v1.exemptions AS
    SELECT e.net::inet AS net, e.kind, e.ceiling, lower(e.during) AS since, upper(e.during) AS until,
           e.during @> postern.now() AS in_force, e.reason, e.actor
      FROM postern.exemption e
    UNION ALL
    SELECT n.net::inet, 'never', NULL, n.created_at, NULL, true, n.reason, n.actor FROM postern.never_block n;
COMMENT ON VIEW api_v1.exemptions IS 'Addresses that may send much for a while, and our own infrastructure, which is never blocked';
COMMENT ON COLUMN api_v1.exemptions.net IS 'Address or prefix';
COMMENT ON COLUMN api_v1.exemptions.kind IS 'volume: verdicts do not act; all: complaints do not act either; never: our own, neither acts, for ever';
COMMENT ON COLUMN api_v1.exemptions.ceiling IS 'Sessions in a verdict''s window up to which it holds; NULL: any number';
COMMENT ON COLUMN api_v1.exemptions.since IS 'When it was made';
COMMENT ON COLUMN api_v1.exemptions.until IS 'When it ends; NULL: never';
COMMENT ON COLUMN api_v1.exemptions.in_force IS 'Does it hold now?';
COMMENT ON COLUMN api_v1.exemptions.reason IS 'Why, in the officer''s words';

CREATE VIEW api_v1.shadow_actions AS
    SELECT s.at, s.unit::inet AS unit, s.customer, u.name AS customer_name, s.action, s.times, c.public_id AS case_id,
           replace(s.reason, E'\n', ' | ') AS reason
      FROM postern.shadow_action s JOIN postern.customer u ON u.id = s.customer JOIN postern.spam_case c ON c.id = s.case_id;
COMMENT ON VIEW api_v1.shadow_actions IS 'What would have been done, had the mode been enforce';
COMMENT ON COLUMN api_v1.shadow_actions.at IS 'When it would have been done the first time';
COMMENT ON COLUMN api_v1.shadow_actions.action IS 'warned or blocked';
COMMENT ON COLUMN api_v1.shadow_actions.times IS 'How often within the case';

GRANT SELECT ON api_v1.tenancies, api_v1.exemptions, api_v1.shadow_actions TO postern_analyst, postern_officer, postern_auditor;

-- ------------------------------------------------------- what each column is; view NULL: in every view

DO $$
DECLARE
    c record;
BEGIN
    FOR c IN
        WITH said (view, col, text) AS (VALUES
 (NULL, 'unit', 'What is judged and blocked as one: an IPv4 address, or an IPv6 prefix of a customer'),
 (NULL, 'customer', 'The hoster''s customer number, at the time of the event'),
 (NULL, 'customer_name', 'The customer''s name as last imported'),
 (NULL, 'case_id', 'Name of the case, as in mails: PST-2026-000123'),
 (NULL, 'id', 'Number of the row'),
 (NULL, 'reason', 'Why, in sentences, separated by |'),
 (NULL, 'actor', 'Who, as the caller names itself: detector, customer, an officer'),
 (NULL, 'scope', 'ports: mail ports only; address: everything'),
 (NULL, 'ports', 'The mail ports: 25, 465, 587, 2525'),
 (NULL, 'opened_at', 'When it began'),
 (NULL, 'closed_at', 'When it was over; NULL: still open'),
 (NULL, 'hold_until', 'From then on the customer may open it himself; never moved'),
 (NULL, 'category', 'The worst that was reported: spam, phishing, malware, botnet, other'),
 (NULL, 'apply_error', 'Why it could not be applied; tried again, and an alarm is raised'),
 (NULL, 'applied_at', 'When it was applied; NULL: due'),
 (NULL, 'attempts', 'How often it was tried'),
 (NULL, 'exporter', 'The router''s address'),
 (NULL, 'domain', 'Observation domain (IPFIX), source id (v9), engine (v5)'),
 (NULL, 'band', 'watch, flag (warns) or block (blocks at once)'),
 (NULL, 'state', 'clear, warned, blocked, unblocking, freeze_proposed, freeze_scheduled, frozen'),
 (NULL, 'authenticated', 'Our own mail server vouches for the reporter''s domain'),
 (NULL, 'reporter', 'Domain of the reporter: as authenticated, else as claimed'),
 ('alarms', 'kind', 'What it is about; docs/schema.md says what to do'),
 ('alarms', 'subject', 'Whom or what it concerns'),
 ('alarms', 'detail', 'What was the matter, the last time'),
 ('alarms', 'times', 'How often it happened while it was open'),
 ('alarms', 'raised_at', 'The first time'),
 ('alarms', 'last_at', 'The last time'),
 ('alarms', 'cleared_at', 'When somebody, or a later success, settled it; NULL: open'),
 ('alarms', 'cleared_by', 'Who settled it'),
 ('audit', 'at', 'When'),
 ('audit', 'login', 'Who, as PostgreSQL knows: the login'),
 ('audit', 'event', 'What happened to the unit, or what a person changed (mode, setting, import …)'),
 ('audit', 'from_state', 'State before; NULL: not about a unit''s state'),
 ('audit', 'to_state', 'State after'),
 ('audit', 'effect', 'What the state table had done: warn, block, release …; ignored, refused by …, shadow'),
 ('audit', 'detail', 'What came with it, and the result'),
 ('audit_seals', 'sealed_at', 'When it was sealed'),
 ('audit_seals', 'rows', 'Audit rows under it'),
 ('audit_unsealed', 'rows', 'How many'),
 ('audit_unsealed', 'oldest', 'Since when the oldest one waits'),
 ('block_history', 'blocked_at', 'The decision'),
 ('block_history', 'duration', 'From the decision until it was open again; NULL: still closed'),
 ('block_history', 'release_asked_at', 'When the release began (customer or officer); the network confirms later'),
 ('block_history', 'released_by', 'Who asked for the release'),
 ('block_history', 'release_reason', 'The officer''s words'),
 ('block_history', 'false_positive', 'An officer called it a false alarm: its level does not count'),
 ('block_history', 'band', 'Band of the verdict that led to it; NULL: no verdict did'),
 ('block_history', 'verdict_evidence', '0 … 1000: the verdict''s evidence; NULL: no verdict'),
 ('block_history', 'score', '0 … 1000: the verdict''s score, evidence and named reasons together'),
 ('blocks_active', 'level', 'Step of the ladder: 1 the first time'),
 ('blocks_active', 'cause', 'verdict: at once; deadline: a warning was not heeded; relapse: spam while being released; freeze: a freeze was proposed'),
 ('blocks_active', 'blocked_at', 'The decision'),
 ('blocks_active', 'unblockable', 'The hold is over: the customer may open it himself'),
 ('blocks_active', 'enforced_at', 'When every required adapter had confirmed that it is closed; NULL: not yet'),
 ('blocks_active', 'first_spam_at', 'First sighting of the episode that led to the block; NULL: no verdict did'),
 ('cases', 'last_at', 'Last time that anything was added'),
 ('cases', 'complaints', 'Complaints that count'),
 ('complaints', 'source_ip', 'The accused address as reported'),
 ('complaints', 'category', 'What was reported: spam, phishing, malware, botnet, other'),
 ('complaints', 'format', 'Which reader understood it: arf, xarf …'),
 ('complaints', 'feedback_type', 'Its own word for what it reports (ARF)'),
 ('complaints', 'enrolled', 'The reporter stood in table reporter when it was applied'),
 ('complaints', 'weight', 'How much it counts; 1.0 within 7 days is enough to warn'),
 ('complaints', 'counted', 'It counts towards a warning; otherwise action says why not'),
 ('complaints', 'arrived_at', 'When the spam was sent, as reported; NULL: unknown'),
 ('complaints', 'received_at', 'When the report reached us'),
 ('complaints', 'message_id', 'Message-ID of the spam, without <>; a hash after a while'),
 ('complaints', 'outcome', 'complaint, not-a-complaint, bounce'),
 ('complaints_unparsed', 'received_at', 'When it reached us'),
 ('complaints_unparsed', 'reporter', 'Domain of the sender'),
 ('complaints_unparsed', 'format', 'What it looks like'),
 ('complaints_unparsed', 'reason', 'Why it could not be read'),
 ('complaints_unparsed', 'size_bytes', 'Size of the mail'),
 ('complaints_unparsed', 'sha256', 'Hash of the mail, to find it in the mailbox'),
 ('deadlines', 'cause', 'verdict or complaint: what it warns of'),
 ('deadlines', 'repeat', 'Which warning of this category it is for this customer and unit: chooses the measure'),
 ('deadlines', 'opened_at', 'When the warning was decided'),
 ('deadlines', 'deadline', 'When it is asked whether spam went on; NULL: the mail is not accepted yet'),
 ('deadlines', 'extended_to', 'Where an officer moved it'),
 ('deadlines', 'fixed_at', 'When the customer stated that it is fixed; the deadline stays as the moment of proof'),
 ('enforcement_desired', 'adapter', 'Way into the network'),
 ('enforcement_desired', 'desired_generation', 'Grows with every new wish'),
 ('enforcement_desired', 'desired_at', 'Since when it is wanted'),
 ('enforcement_desired', 'state', 'pending; applied: confirmed; failed: refused, tried again hourly'),
 ('enforcement_desired', 'applied_action', 'What was confirmed last'),
 ('enforcement_desired', 'applied_at', 'When it was confirmed'),
 ('enforcement_desired', 'error', 'What the adapter said; NULL: no trouble'),
 ('evidence', 'kind', 'flow or complaint; bounce: of a mail of ours'),
 ('evidence', 'at', 'When the flow was seen, or the spam was sent'),
 ('evidence', 'destination', 'To which address'),
 ('evidence', 'port', 'To which port'),
 ('evidence', 'score', 'Score of the verdict it belongs to'),
 ('exporter_loss', 'hour', 'The hour (UTC) it is counted in'),
 ('exporter_loss', 'received', 'Records that were received and reached the bus, or were no mail'),
 ('exporter_loss', 'lost_percent', 'Lost, of all that was received or lost'),
 ('exporter_loss', 'lost_network', 'Gaps of the sequence: lost before our socket'),
 ('exporter_loss', 'lost_kernel', 'The socket''s queue was full'),
 ('exporter_loss', 'lost_malformed', 'Datagrams or records that break their format'),
 ('exporter_loss', 'lost_no_template', 'Data whose template never came'),
 ('exporter_loss', 'lost_not_admitted', 'Exporter not on the list, or over its bounds'),
 ('exporter_loss', 'lost_queue', 'The collector''s own queue was full'),
 ('exporter_loss', 'lost_spool', 'The spool threw its oldest away'),
 ('exporter_loss', 'lost_bus', 'The bus gave a batch up'),
 ('exporter_loss', 'lost_down', 'Sent while no collector ran that lived to tell of it'),
 ('exporter_loss', 'datagrams', 'Datagrams that were decoded'),
 ('exporter_loss', 'duplicates', 'Datagrams that came twice; they are among the decoded'),
 ('exporter_loss', 'lost_datagrams', 'Datagrams that did not reach the decoder whole'),
 ('exporter_loss', 'reordered', 'Datagrams that others overtook'),
 ('exporter_loss', 'restarts', 'Times that the exporter''s numbers began anew'),
 ('exporters', 'protocol', 'NetFlow v5, NetFlow v9 or IPFIX'),
 ('false_positive_rate', 'month', 'First moment of the month, UTC'),
 ('false_positive_rate', 'cause', 'What the blocks rested on: verdict, deadline, relapse, freeze'),
 ('false_positive_rate', 'band', 'Band of the verdict; -: no verdict led to it'),
 ('false_positive_rate', 'blocks', 'Blocks that began in the month'),
 ('false_positive_rate', 'false_positives', 'Of these, false alarms'),
 ('false_positive_rate', 'false_positive_percent', 'The share of these'),
 ('freezes', 'frozen_at', 'When it was carried out'),
 ('freezes', 'zone', 'The blocklist that held it'),
 ('freezes', 'proposer', 'Who proposed it: the list''s watch, or an officer'),
 ('freezes', 'approver', 'Who approved it'),
 ('freezes', 'evidence_digest', 'SHA-256 of the evidence, hex'),
 ('mail_queue', 'state', 'pending or sending'),
 ('mail_queue', 'mails', 'How many'),
 ('mail_queue', 'oldest', 'Since when the oldest one waits'),
 ('mail_queue', 'most_attempts', 'How often the unluckiest was tried'),
 ('mail_queue', 'code', 'Highest SMTP code of an answer'),
 ('mail_queue', 'trouble', 'What the newest failure without a server said'),
 ('mail_queue', 'next_at', 'When the next one is tried'),
 ('mail_status', 'kind', 'warning, reminder, blocked, resolved, released, freeze-notice, frozen, digest'),
 ('mail_status', 'contact_email', 'To whom; a hash after a while'),
 ('mail_status', 'created_at', 'When it was written'),
 ('mail_status', 'next_at', 'When it is tried next'),
 ('mail_status', 'accepted_at', 'When the customer''s mail server took it; NULL: it did not'),
 ('mail_status', 'time_to_accept', 'From writing to acceptance'),
 ('mail_status', 'code', 'The server''s last answer; 0: there was none'),
 ('mail_status', 'detail', 'The server''s words'),
 ('mail_status', 'message_id', 'Without <>; the same however often it is sent'),
 ('repeat_offenders', 'blocks', 'Blocks within 365 days that were no false alarms'),
 ('repeat_offenders', 'units', 'On how many units'),
 ('repeat_offenders', 'highest_level', 'Highest step of the ladder among them'),
 ('repeat_offenders', 'first_block', 'The first of them'),
 ('repeat_offenders', 'last_block', 'The last of them'),
 ('repeat_offenders', 'open_now', 'How many are still closed'),
 ('replies', 'case', 'The same as case_id (a keyword, to be written in quotes)'),
 ('replies', 'received_at', 'When it reached us'),
 ('replies', 'text', 'What it says'),
 ('top_senders', 'destinations', 'New destinations, as sampled'),
 ('top_senders', 'bytes', 'Bytes of mail traffic, as sampled'),
 ('top_senders', 'failed', 'Sessions that look like failed openings'),
 ('verdicts', 'episode', 'First sighting of the episode; names it'),
 ('verdicts', 'crossed_at', 'When the band was crossed'),
 ('verdicts', 'first_at', 'First sighting of the episode'),
 ('verdicts', 'last_at', 'Last sighting so far'),
 ('verdicts', 'ended_at', 'When the episode was over: the row is final'),
 ('verdicts', 'score', '0 … 1000: evidence and the named reasons together'),
 ('verdicts', 'sessions_seen', 'Mail sessions seen in the current and the previous window, as sampled'),
 ('verdicts', 'sessions_low', 'Lower bound on the true number of sessions'),
 ('verdicts', 'destinations_seen', 'Destinations seen in the same windows, as sampled'),
 ('verdicts', 'usual', 'What this unit is expected to show in the window at most'),
 ('verdicts', 'window_s', 'Length of the window that decided, seconds'),
 ('verdicts', 'channel', 'S: sessions decided; D: destinations decided'),
 ('verdicts', 'pair', 'smtp: port 25; submission: 465, 587, 2525'),
 ('verdicts', 'failed', 'Sessions that look like failed openings'),
 ('verdicts', 'sampling', 'Effective N of 1:N over all exporters'),
 ('verdicts', 'cold', 'The unit had no history of mail'),
 ('verdicts', 'exporters', 'Routers that saw it'),
 ('verdicts', 'reason_names', 'The same reasons by name: burst, neighbourhood, dead-destinations …'))
        SELECT k.relname, a.attname, coalesce(one.text, every.text) AS text
          FROM pg_class k JOIN pg_attribute a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN said one ON one.view = k.relname AND one.col = a.attname
          LEFT JOIN said every ON every.view IS NULL AND every.col = a.attname
         WHERE k.relnamespace = 'api_v1'::regnamespace AND k.relkind = 'v' AND col_description(k.oid, a.attnum) IS NULL
           AND coalesce(one.text, every.text) IS NOT NULL
    LOOP
        EXECUTE format('COMMENT ON COLUMN api_v1.%I.%I IS %L', c.relname, c.attname, c.text);
    END LOOP;
END
$$;

RESET ROLE;
