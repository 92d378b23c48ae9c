-- SPDX-License-Identifier: Apache-2.0
-- What a mail can say beside what stood in it when it was written: the numbers of its reasons, so that
-- each language has its own sentences; the pages of blocklists; what a freeze means. Looked up when a
-- worker takes the mail (0034), so that it costs verdicts no time and is as new as the mail.

SET LOCAL ROLE postern_owner;

CREATE TABLE postern.dnsbl_zone (
    zone text PRIMARY KEY,
    title text NOT NULL,
    page text NOT NULL DEFAULT ''
);
COMMENT ON TABLE postern.dnsbl_zone IS 'Blocklists, as customers know them';
COMMENT ON COLUMN postern.dnsbl_zone.zone IS 'Its DNS zone, without an access key';
COMMENT ON COLUMN postern.dnsbl_zone.title IS 'Its name in mails';
COMMENT ON COLUMN postern.dnsbl_zone.page IS 'Where people look an address up; {ip} stands for the address. Empty: there is none';
INSERT INTO postern.dnsbl_zone VALUES
 ('zen.spamhaus.org', 'Spamhaus ZEN', 'https://check.spamhaus.org/query/ip/{ip}'),
 ('sbl.spamhaus.org', 'Spamhaus SBL', 'https://check.spamhaus.org/query/ip/{ip}'),
 ('xbl.spamhaus.org', 'Spamhaus XBL', 'https://check.spamhaus.org/query/ip/{ip}'),
 ('css.spamhaus.org', 'Spamhaus CSS', 'https://check.spamhaus.org/query/ip/{ip}'),
 ('bl.spamcop.net', 'SpamCop', 'https://www.spamcop.net/w3m?action=checkblock&ip={ip}'),
 ('b.barracudacentral.org', 'Barracuda', 'https://www.barracudacentral.org/lookups/lookup-reputation');

INSERT INTO postern.setting (key, value, kind, low, high, choices, note) VALUES
 ('mail.lookup_zone', 'zen.spamhaus.org', 'text', NULL, NULL, NULL, 'Mails that know nothing of blocklists name the page of this one (dnsbl_zone)');

CREATE FUNCTION postern.lookup_page(p_zone text, p_unit postern.unit) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT replace(z.page, '{ip}', host(p_unit)) FROM postern.dnsbl_zone z WHERE z.zone = p_zone
$$;
COMMENT ON FUNCTION postern.lookup_page(text, postern.unit) IS 'Where people look an address up on a blocklist; NULL: we do not know the list';

CREATE FUNCTION postern.complaint_sentence(c postern.complaint) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    RETURN format('%s reported %s from this address%s%s.',
        CASE WHEN c.enrolled THEN c.reporter ELSE 'A recipient' END,
        CASE postern.known_category(c.category) WHEN 'other' THEN 'abuse' ELSE postern.known_category(c.category) END,
        coalesce(', sent ' || postern.time_text(c.arrived_at, 'UTC'), ''),
        coalesce(', Message-ID ' || c.message_id, ''));
END
$$;
COMMENT ON FUNCTION postern.complaint_sentence(postern.complaint) IS 'A complaint in a sentence for the customer';

CREATE OR REPLACE FUNCTION postern.complaint_reasons(p_unit postern.unit, p_customer text, p_since timestamptz) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(array_agg(postern.complaint_sentence(c) ORDER BY c.received_at), '{}')
              FROM (SELECT x.* FROM postern.complaint x
                     WHERE x.unit = p_unit AND x.customer = p_customer AND x.counted AND x.received_at >= p_since
                     ORDER BY x.received_at DESC LIMIT 5) AS c);
END
$$;

CREATE FUNCTION postern.reason_facts(p_case_id bigint, p_reasons jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(coalesce(f.fact, '{}') ORDER BY r.n), '[]')
      FROM jsonb_array_elements_text(p_reasons) WITH ORDINALITY AS r (sentence, n)
      LEFT JOIN LATERAL (
           (SELECT x - 'text' - 'points' AS fact
              FROM postern.verdict v, jsonb_array_elements(CASE jsonb_typeof(v.reasons) WHEN 'array' THEN v.reasons ELSE '[]' END) AS x
             WHERE v.case_id = p_case_id AND x ->> 'text' = r.sentence LIMIT 1)
           UNION ALL
           (SELECT jsonb_strip_nulls(jsonb_build_object('name', 'complaint',
                       'reporter', CASE WHEN c.enrolled THEN c.reporter END, 'category', postern.known_category(c.category),
                       'sent', postern.time_json(c.arrived_at), 'message_id', c.message_id))
              FROM postern.complaint c
             WHERE c.case_id = p_case_id AND postern.complaint_sentence(c) = r.sentence LIMIT 1)
           LIMIT 1) AS f ON true
$$;
COMMENT ON FUNCTION postern.reason_facts(bigint, jsonb) IS 'The numbers and names in the sentences of a mail, in their order (docs/detector.md; complaint: reporter, category, sent, message_id); {} where nobody knows them any more';

CREATE FUNCTION postern.listing_vars(p_unit postern.unit, p_zones text[]) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'lookup_page', nullif(postern.lookup_page(postern.setting('mail.lookup_zone'), p_unit), ''),
               'lists', (SELECT jsonb_agg(jsonb_build_object('name', coalesce(d.title, x.zone),
                                    'page', coalesce(postern.lookup_page(x.zone, p_unit), '')) ORDER BY x.n)
                           FROM unnest(p_zones) WITH ORDINALITY AS x (zone, n) LEFT JOIN postern.dnsbl_zone d ON d.zone = x.zone
                          WHERE x.zone <> '')))
$$;
COMMENT ON FUNCTION postern.listing_vars(postern.unit, text[]) IS 'The blocklists that hold a unit, with the pages where people look it up, for a mail';

CREATE FUNCTION postern.freeze_vars(p_case_id bigint, p_tz text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('cause', 'freeze', 'automated', p.approver = 'auto',
               'freeze_at', postern.time_text(p.freeze_at, 'UTC'), 'freeze_at_local', postern.time_text(p.freeze_at, p_tz),
               'freeze_iso', postern.time_json(p.freeze_at)))
      FROM postern.freeze_proposal p WHERE p.case_id = p_case_id ORDER BY p.id DESC LIMIT 1
$$;
COMMENT ON FUNCTION postern.freeze_vars(bigint, text) IS 'When a case''s address is frozen, for a mail';

CREATE FUNCTION postern.part_vars(p_kind text, p_case_id bigint, p_warning_id bigint, p_tz text, p_vars jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_freezes boolean := p_kind IN ('freeze-notice', 'frozen');
    v_zones text[] := ARRAY(SELECT jsonb_array_elements_text(p_vars -> 'listing_zones'));
BEGIN
    IF v_freezes OR p_vars ->> 'cause' = 'freeze' THEN
        SELECT ARRAY[p.zone] INTO v_zones FROM postern.freeze_proposal p WHERE p.case_id = p_case_id ORDER BY p.id DESC LIMIT 1;
    END IF;
    RETURN jsonb_build_object('reason_facts', postern.reason_facts(p_case_id, coalesce(p_vars -> 'reasons', '[]')))
        || (SELECT postern.listing_vars(c.unit, v_zones) FROM postern.spam_case c WHERE c.id = p_case_id)
        || CASE WHEN p_kind IN ('warning', 'reminder') THEN coalesce(postern.warning_vars(p_warning_id, p_tz), '{}') ELSE '{}' END
        || CASE WHEN v_freezes THEN coalesce(postern.freeze_vars(p_case_id, p_tz), '{}') ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION postern.part_vars(text, bigint, bigint, text, jsonb) IS 'What the data of a mail about one unit gain when it is taken: the deadline if it were accepted now, the numbers of its reasons, blocklists, the time of a freeze';

RESET ROLE;
