-- SPDX-License-Identifier: Apache-2.0
-- Words that were overtaken: comments, the mark between the sentences of an order's reason, and two
-- settings that nothing reads (the name of our mail server is postern-intake's --authserv-id).

SET LOCAL ROLE postern_owner;

COMMENT ON COLUMN postern.verdict.reasons IS 'Array of {name, points, text, …}: text is a sentence for the customer; beside it stand the numbers and words that it is made of, by name (docs/detector.md, Reasons in numbers). Old rows have name, points and text only';
COMMENT ON COLUMN postern.verdict.action IS 'What apply_verdict() did: watched, warned, blocked, appended, ignored, not-ours, unassigned, other-tenancy, overtaken, exempt, never-block, held, shadow-warned, shadow-blocked';
COMMENT ON COLUMN postern.complaint.weight IS 'Authenticated and enrolled: the reporter''s own; enrolled: a share of it; anonymous: little (settings complaint.weight_…)';
COMMENT ON TABLE postern.reporter IS 'Reporters we enrolled: their authenticated complaints count with the weight that stands here. Everyone else is anonymous';
COMMENT ON COLUMN postern.exemption.ceiling IS 'Sessions an hour up to which the detector is quiet; a verdict that rests on no more (sessions_low) does not act; NULL: any number';
COMMENT ON COLUMN api_v1.exemptions.ceiling IS 'Sessions an hour up to which it holds; NULL: any number';
COMMENT ON FUNCTION postern.ip_exempt(cidr, double precision, timestamptz, text, text) IS 'Verdicts on these addresses do not act until then, up to so many sessions an hour (NULL: any number)';
COMMENT ON COLUMN postern.scorer_input.unit IS 'A unit, or for exempted, unit_len, reassigned and assigned a net';
COMMENT ON TABLE postern.exporter_loss IS 'Records and datagrams sent, received and lost per exporter, domain and hour: what was not seen is known';
COMMENT ON COLUMN postern.audit_event.actor IS 'Who, as the caller names itself: detector, complaint, timer, mailer, an adapter, a customer, an officer';
COMMENT ON TABLE postern.listing_check IS 'Is a unit that was complained about on a blocklist? Its warning waits for the answer, until answer_by. Nobody asks lists yet: the answer is unknown at once';
COMMENT ON FUNCTION postern.ask_listing(bigint, bigint) IS 'Asks whether a warned unit is listed; its mail waits for the answer, ten minutes at most. Nobody asks lists yet: the answer is unknown at once';
COMMENT ON TABLE postern.freeze_proposal IS 'The way to a freeze: proposed by a person, approved by another, announced, confirmed, carried out';
COMMENT ON COLUMN postern.freeze_proposal.confirmed_at IS 'Last time that somebody saw the address on the list; the freeze is carried out within the hour after it';
UPDATE postern.event SET note = 'A blocklist holds the unit, and a person proposes to freeze it' WHERE event = 'listed';

DELETE FROM postern.setting WHERE key IN ('freeze.mode', 'authserv_id');

-- As in the other views: a mark tells where a sentence ends.
CREATE OR REPLACE VIEW api_v1.enforcement_desired AS
    SELECT e.unit::inet AS unit, e.adapter, e.action, e.ports, e.desired_generation, e.desired_at, e.state, e.applied_action, e.applied_at,
           e.attempts, e.error, replace(e.reason, E'\n', ' | ') AS reason, e.expires_at
      FROM postern.enforcement e JOIN postern.adapter a ON a.name = e.adapter
     WHERE a.enabled AND postern.is_ours(e.unit, postern.now());

RESET ROLE;
