-- SPDX-License-Identifier: Apache-2.0
-- What became of a unit, and why: cases, blocks, warnings, mails, orders, freezes, audit; and the
-- guards of the records that are kept for ever.

SET LOCAL ROLE postern_owner;

CREATE TABLE postern.spam_case (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    unit postern.unit NOT NULL,
    customer text NOT NULL REFERENCES postern.customer (id),
    opened_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    closed_at timestamptz,
    outcome text CHECK (outcome IN ('released', 'resolved', 'false-positive', 'withdrawn', 'reassigned', 'frozen', 'shadow')),
    category text NOT NULL DEFAULT 'spam',
    shadow boolean NOT NULL DEFAULT false,
    first_message_id text,
    CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX spam_case_one_open ON postern.spam_case (unit, shadow) WHERE closed_at IS NULL;
CREATE INDEX spam_case_customer ON postern.spam_case (customer, opened_at);
CREATE INDEX spam_case_unit ON postern.spam_case USING gist (unit inet_ops);
CREATE SEQUENCE postern.spam_case_number;
COMMENT ON TABLE postern.spam_case IS 'Everything about one unit and one tenant, from the first warning or block until all is well again';
COMMENT ON COLUMN postern.spam_case.public_id IS 'PST-2026-000123: what customers and people quote';
COMMENT ON COLUMN postern.spam_case.category IS 'spam, phishing, malware, botnet, other: the worst that was reported';
COMMENT ON COLUMN postern.spam_case.outcome IS 'How it ended';
COMMENT ON COLUMN postern.spam_case.shadow IS 'Recorded in shadow mode: nobody was told, nothing was blocked';
COMMENT ON COLUMN postern.spam_case.first_message_id IS 'Message-ID of the case''s first mail: later ones refer to it';
COMMENT ON SEQUENCE postern.spam_case_number IS 'Number part of public ids; may have holes';

CREATE TABLE postern.evidence (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    kind text NOT NULL CHECK (kind IN ('flow', 'complaint', 'bounce')),
    at timestamptz NOT NULL,
    destination inet,
    port int,
    message_id text,
    score int,
    reporter text,
    verdict_id bigint REFERENCES postern.verdict (id),
    complaint_id bigint REFERENCES postern.complaint (id)
);
CREATE INDEX evidence_case ON postern.evidence (case_id, at);
CREATE UNIQUE INDEX evidence_complaint_once ON postern.evidence (case_id, complaint_id) WHERE complaint_id IS NOT NULL;
CREATE UNIQUE INDEX evidence_flow_once ON postern.evidence (case_id, at, destination, port) WHERE kind = 'flow';
COMMENT ON TABLE postern.evidence IS 'Single mails and flows that a case rests on';
COMMENT ON COLUMN postern.evidence.message_id IS 'Known from complaints only; flows do not tell';
COMMENT ON COLUMN postern.evidence.score IS 'Score of the verdict it belongs to';

CREATE TABLE postern.ip_state (
    unit postern.unit PRIMARY KEY,
    customer text REFERENCES postern.customer (id),
    state text NOT NULL DEFAULT 'clear' CHECK (state IN ('clear', 'warned', 'blocked', 'unblocking', 'freeze_proposed', 'freeze_scheduled', 'frozen')),
    prior_state text,
    level int NOT NULL DEFAULT 0 CHECK (level >= 0),
    watched_until timestamptz,
    probation_until timestamptz,
    case_id bigint REFERENCES postern.spam_case (id),
    changed_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 0
);
CREATE INDEX ip_state_net ON postern.ip_state USING gist (unit inet_ops);
CREATE INDEX ip_state_state ON postern.ip_state (state) WHERE state <> 'clear';
COMMENT ON TABLE postern.ip_state IS 'Where a unit stands now. Changed by transition() only; its row lock serialises everything about the unit';
COMMENT ON COLUMN postern.ip_state.customer IS 'The tenant whom state, level and case belong to';
COMMENT ON COLUMN postern.ip_state.prior_state IS 'Where a freeze proposal goes back to';
COMMENT ON COLUMN postern.ip_state.level IS 'Step of the ladder reached by the last block of this customer and unit';
COMMENT ON COLUMN postern.ip_state.watched_until IS 'Being watched is a date, not a state';
COMMENT ON COLUMN postern.ip_state.probation_until IS 'Until then a flag blocks at once';
COMMENT ON COLUMN postern.ip_state.case_id IS 'The open case';
COMMENT ON COLUMN postern.ip_state.version IS 'Grows with every transition';

CREATE TABLE postern.block (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit postern.unit NOT NULL,
    customer text NOT NULL REFERENCES postern.customer (id),
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    scope text NOT NULL CHECK (scope IN ('ports', 'address')),
    ports int[] NOT NULL,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    hold_until timestamptz NOT NULL,
    level int NOT NULL CHECK (level >= 1),
    cause text NOT NULL CHECK (cause IN ('verdict', 'deadline', 'relapse', 'freeze')),
    reason text NOT NULL,
    actor text NOT NULL,
    verdict_id bigint REFERENCES postern.verdict (id),
    enforced_at timestamptz,
    release_asked_at timestamptz,
    released_by text,
    release_reason text,
    false_positive boolean NOT NULL DEFAULT false,
    CHECK (scope = 'address' OR 25 = ANY (ports)),
    CONSTRAINT block_one_at_a_time EXCLUDE USING gist (unit inet_ops WITH &&, during WITH &&)
);
CREATE INDEX block_customer ON postern.block (customer, unit);
CREATE INDEX block_started ON postern.block (lower(during));
CREATE INDEX block_open ON postern.block (unit) WHERE upper_inf(during);
COMMENT ON TABLE postern.block IS 'Block history: every time a unit''s mail ports or its whole address were closed';
COMMENT ON COLUMN postern.block.scope IS 'ports: mail ports only; address: everything, reversibly';
COMMENT ON COLUMN postern.block.ports IS '25 always; 465, 587, 2525 where submission was abused; empty for scope address';
COMMENT ON COLUMN postern.block.during IS 'From the decision until the network confirmed that it is open again; no upper bound: in force';
COMMENT ON COLUMN postern.block.hold_until IS 'The customer may unblock from then on; never moved';
COMMENT ON COLUMN postern.block.level IS 'Step of the ladder: how often before, with decay';
COMMENT ON COLUMN postern.block.cause IS 'verdict: at once; deadline: a warning was not heeded; relapse: spam while being released; freeze: ports closed when a freeze was proposed';
COMMENT ON COLUMN postern.block.reason IS 'A sentence for customer and desk';
COMMENT ON COLUMN postern.block.enforced_at IS 'When every required adapter had confirmed it';
COMMENT ON COLUMN postern.block.release_asked_at IS 'When the release began (customer or officer)';
COMMENT ON COLUMN postern.block.false_positive IS 'An officer said so: the level does not count';

CREATE TABLE postern.warning (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    unit postern.unit NOT NULL,
    customer text NOT NULL REFERENCES postern.customer (id),
    cause text NOT NULL CHECK (cause IN ('verdict', 'complaint')),
    category text NOT NULL,
    repeat int NOT NULL CHECK (repeat >= 1),
    reason text NOT NULL,
    ports int[] NOT NULL DEFAULT '{25}',
    state text NOT NULL CHECK (state IN ('mailing', 'running', 'disputed', 'suspended', 'resolved', 'missed', 'overtaken', 'withdrawn')),
    opened_at timestamptz NOT NULL,
    duration interval NOT NULL,
    accepted_at timestamptz,
    deadline timestamptz,
    extended_to timestamptz,
    stopped_at timestamptz,
    fixed_at timestamptz,
    closed_at timestamptz,
    CHECK (state <> 'running' OR deadline IS NOT NULL),
    CHECK ((deadline IS NULL) = (accepted_at IS NULL))
);
CREATE UNIQUE INDEX warning_one_open ON postern.warning (unit) WHERE closed_at IS NULL;
CREATE INDEX warning_case ON postern.warning (case_id);
CREATE INDEX warning_deadline ON postern.warning (deadline) WHERE closed_at IS NULL;
COMMENT ON TABLE postern.warning IS 'A warning with its deadline. The clock starts when the customer''s mail server accepted the mail';
COMMENT ON COLUMN postern.warning.repeat IS 'How often this customer and unit were warned in this category, this time included';
COMMENT ON COLUMN postern.warning.ports IS 'Ports that a block after the deadline closes';
COMMENT ON COLUMN postern.warning.state IS 'mailing: not accepted yet; running: the clock runs; disputed: an officer decides; suspended: the mail cannot be delivered, a person decides; resolved, missed, overtaken by a block, withdrawn: closed';
COMMENT ON COLUMN postern.warning.duration IS 'Time that the customer has';
COMMENT ON COLUMN postern.warning.accepted_at IS 'When a mail server accepted the warning';
COMMENT ON COLUMN postern.warning.deadline IS 'accepted_at + duration, moved by extension or dispute';
COMMENT ON COLUMN postern.warning.stopped_at IS 'disputed: when the clock stopped';
COMMENT ON COLUMN postern.warning.fixed_at IS 'The customer stated that it is fixed; the deadline stays as the moment of proof';

CREATE TABLE postern.statement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    kind text NOT NULL CHECK (kind IN ('fixed', 'disputed')),
    text text NOT NULL CHECK (length(text) <= 10000),
    actor text NOT NULL,
    made_at timestamptz NOT NULL,
    accepted boolean NOT NULL
);
CREATE INDEX statement_case ON postern.statement (case_id);
COMMENT ON TABLE postern.statement IS 'What customers said about a case';
COMMENT ON COLUMN postern.statement.accepted IS 'It changed something (once per case and kind while warned); otherwise only kept';

CREATE TABLE postern.timer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedup_key text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('reminder', 'deadline', 'dispute_over', 'probation_over', 'exemption_over')),
    unit postern.unit NOT NULL,
    warning_id bigint REFERENCES postern.warning (id),
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    fired_at timestamptz,
    result text,
    error text,
    tries int NOT NULL DEFAULT 0
);
CREATE INDEX timer_due ON postern.timer (due_at) WHERE fired_at IS NULL;
CREATE INDEX timer_unit ON postern.timer (unit) WHERE fired_at IS NULL;
COMMENT ON TABLE postern.timer IS 'Everything that happens by time alone. Fired once; a cancelled one is fired with result cancelled';

CREATE TABLE postern.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedup_key text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('warning', 'reminder', 'blocked', 'resolved', 'released', 'freeze-notice', 'frozen', 'digest')),
    unit postern.unit,
    customer text NOT NULL REFERENCES postern.customer (id),
    case_id bigint REFERENCES postern.spam_case (id),
    warning_id bigint REFERENCES postern.warning (id),
    contact_email text NOT NULL,
    locale text NOT NULL,
    tz text NOT NULL,
    message_id text NOT NULL UNIQUE,
    references_id text,
    envelope_from text NOT NULL,
    vars jsonb NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sending', 'done', 'failed', 'uncertain', 'superseded')),
    attempts int NOT NULL DEFAULT 0,
    resends int NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    worker text,
    lease_until timestamptz,
    created_at timestamptz NOT NULL,
    accepted_at timestamptz,
    code int,
    detail text
);
CREATE INDEX outbox_due ON postern.outbox (next_at) WHERE state IN ('pending', 'sending');
CREATE INDEX outbox_case ON postern.outbox (case_id);
CREATE INDEX outbox_customer ON postern.outbox (customer, created_at);
COMMENT ON TABLE postern.outbox IS 'Mails to customers, written in the transaction of the change they tell of, sent by postern-dispatch --work=mail';
COMMENT ON COLUMN postern.outbox.dedup_key IS 'Names the occasion and the recipient: one occasion makes one mail';
COMMENT ON COLUMN postern.outbox.message_id IS 'Without <>. The same for ever, also when the mail is sent again after a crash';
COMMENT ON COLUMN postern.outbox.references_id IS 'Message-ID of the case''s first mail; NULL for that one';
COMMENT ON COLUMN postern.outbox.envelope_from IS 'Own bounce address of this mail (VERP)';
COMMENT ON COLUMN postern.outbox.vars IS 'Everything a template may show; docs/schema.md lists it';
COMMENT ON COLUMN postern.outbox.state IS 'pending; sending: committed before DATA; done: accepted; failed: refused or given up; uncertain: broken off after DATA and after its resend; superseded: not sent, a later event made it untrue';
COMMENT ON COLUMN postern.outbox.resends IS 'Times it was sent again after breaking off within DATA: one if the server was silent, up to mail.resends if our workers died';
COMMENT ON COLUMN postern.outbox.lease_until IS 'Its worker has it until then';

CREATE TABLE postern.adapter (
    name text PRIMARY KEY,
    enabled boolean NOT NULL,
    required boolean NOT NULL,
    note text NOT NULL DEFAULT ''
);
COMMENT ON TABLE postern.adapter IS 'Ways into the network. A unit counts as open when every required one has confirmed';
INSERT INTO postern.adapter VALUES ('null', true, true, 'Touches nothing and confirms at once');

CREATE TABLE postern.enforcement (
    unit postern.unit NOT NULL,
    adapter text NOT NULL REFERENCES postern.adapter (name),
    action text NOT NULL CHECK (action IN ('open', 'block_ports', 'block_address', 'freeze')),
    ports int[] NOT NULL DEFAULT '{}',
    reason text NOT NULL,
    desired_generation bigint NOT NULL DEFAULT 1,
    desired_at timestamptz NOT NULL,
    applied_generation bigint NOT NULL DEFAULT 0,
    applied_action text,
    applied_at timestamptz,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'applied', 'failed')),
    attempts int NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    worker text,
    lease_until timestamptz,
    error text,
    PRIMARY KEY (unit, adapter)
);
CREATE INDEX enforcement_due ON postern.enforcement (adapter, next_at) WHERE state <> 'applied';
COMMENT ON TABLE postern.enforcement IS 'What the network should do about a unit, and what each adapter confirmed';
COMMENT ON COLUMN postern.enforcement.action IS 'What is wanted: open, block_ports, block_address, freeze';
COMMENT ON COLUMN postern.enforcement.desired_generation IS 'Grows with every new wish; a confirmation of an older one settles nothing';
COMMENT ON COLUMN postern.enforcement.applied_generation IS 'The newest generation that the adapter confirmed';
COMMENT ON COLUMN postern.enforcement.state IS 'pending; applied: the newest wish is confirmed; failed: refused, tried again hourly, alarms';

CREATE TABLE postern.measure (
    category text NOT NULL CHECK (category IN ('spam', 'phishing', 'malware', 'botnet', 'other')),
    repeat_from int NOT NULL CHECK (repeat_from >= 1),
    scope text NOT NULL CHECK (scope IN ('ports', 'address')),
    note text NOT NULL,
    PRIMARY KEY (category, repeat_from)
);
COMMENT ON TABLE postern.measure IS 'What a missed deadline leads to, by what was reported and how often. The row with the greatest repeat_from not above the count decides';
INSERT INTO postern.measure VALUES
 ('spam', 1, 'ports', 'Spam closes the mail ports'),
 ('other', 1, 'ports', 'Everything else that is mailed closes the mail ports'),
 ('phishing', 1, 'ports', 'First time: the mail ports'),
 ('phishing', 2, 'address', 'From the second time on: the whole address, until it is released'),
 ('malware', 1, 'ports', 'First time: the mail ports'),
 ('malware', 2, 'address', 'From the second time on: the whole address, until it is released'),
 ('botnet', 1, 'ports', 'First time: the mail ports'),
 ('botnet', 2, 'address', 'From the second time on: the whole address, until it is released');

CREATE TABLE postern.freeze_proposal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit postern.unit NOT NULL,
    customer text REFERENCES postern.customer (id),
    case_id bigint REFERENCES postern.spam_case (id),
    zone text NOT NULL,
    state text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'scheduled', 'committed', 'withdrawn')),
    proposer text NOT NULL,
    proposed_at timestamptz NOT NULL,
    approver text,
    approved_at timestamptz,
    freeze_at timestamptz,
    confirmed_at timestamptz,
    evidence_digest bytea,
    note text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX freeze_proposal_one_open ON postern.freeze_proposal (unit) WHERE state IN ('proposed', 'scheduled');
COMMENT ON TABLE postern.freeze_proposal IS 'The way to a freeze: proposed by a person or a listing, approved, announced, carried out';
COMMENT ON COLUMN postern.freeze_proposal.confirmed_at IS 'Last time the listing was seen while the list answered its test points rightly';
COMMENT ON COLUMN postern.freeze_proposal.freeze_at IS 'Not before; the customer was told';

CREATE TABLE postern.ip_freeze (
    unit postern.unit PRIMARY KEY,
    frozen_at timestamptz NOT NULL,
    customer text REFERENCES postern.customer (id),
    case_id bigint REFERENCES postern.spam_case (id),
    proposal_id bigint NOT NULL UNIQUE REFERENCES postern.freeze_proposal (id),
    zone text NOT NULL,
    proposer text NOT NULL,
    approver text NOT NULL,
    evidence_digest bytea
);
COMMENT ON TABLE postern.ip_freeze IS 'Addresses closed for ever. Rows come from commit_freeze() only and are never changed or removed: triggers that fire always refuse it';

CREATE TABLE postern.shadow_action (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    unit postern.unit NOT NULL,
    customer text NOT NULL,
    action text NOT NULL CHECK (action IN ('warned', 'blocked')),
    at timestamptz NOT NULL,
    reason text NOT NULL,
    times int NOT NULL DEFAULT 1,
    UNIQUE (case_id, action)
);
CREATE INDEX shadow_action_at ON postern.shadow_action (at);
COMMENT ON TABLE postern.shadow_action IS 'What would have been done, had the mode been enforce';

CREATE TABLE postern.noc_alarm (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    raised_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    times int NOT NULL DEFAULT 1,
    cleared_at timestamptz,
    cleared_by text
);
CREATE UNIQUE INDEX noc_alarm_one_open ON postern.noc_alarm (kind, subject) WHERE cleared_at IS NULL;
COMMENT ON TABLE postern.noc_alarm IS 'What a person has to look at. The same thing again counts up instead of adding a row';
COMMENT ON COLUMN postern.noc_alarm.kind IS 'unreadable-complaint, apply-error, mail-failed, mail-uncertain, no-contact, deadline-suspended, order-failed, breaker, …: docs/schema.md lists them';

CREATE TABLE postern.audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    login text NOT NULL,
    unit postern.unit,
    customer text,
    case_id bigint,
    event text NOT NULL,
    from_state text,
    to_state text,
    effect text,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_event_unit ON postern.audit_event USING gist (unit inet_ops);
CREATE INDEX audit_event_at ON postern.audit_event (at);
COMMENT ON TABLE postern.audit_event IS 'Every transition and every change by people, in order. Never changed or removed';
COMMENT ON COLUMN postern.audit_event.actor IS 'Who, as the caller names itself: customer, officer, dispatcher';
COMMENT ON COLUMN postern.audit_event.login IS 'Who, as PostgreSQL knows: session_user';
COMMENT ON COLUMN postern.audit_event.event IS 'Event of table state_transition, or what a person changed (mode, setting, import …)';

ALTER TABLE postern.verdict ADD FOREIGN KEY (case_id) REFERENCES postern.spam_case (id);
ALTER TABLE postern.complaint ADD FOREIGN KEY (case_id) REFERENCES postern.spam_case (id);

-- ------------------------------------------------------------------------ guards of the two records

CREATE FUNCTION postern.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: its rows are kept for ever', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'PT005';
END
$$;
COMMENT ON FUNCTION postern.refuse_change() IS 'Trigger: refuses whatever fired it';

CREATE FUNCTION postern.only_the_freezer() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF current_user <> 'postern_freezer' THEN
        RAISE EXCEPTION 'INSERT into ip_freeze is refused: only commit_freeze() freezes'
            USING ERRCODE = 'PT005';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.only_the_freezer() IS 'Trigger: refuses rows that do not come from commit_freeze()';

CREATE FUNCTION postern.frozen_stays() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF OLD.state = 'frozen' AND (TG_OP = 'DELETE' OR NEW.state <> 'frozen' OR NEW.unit <> OLD.unit) THEN
        RAISE EXCEPTION '% is frozen for ever', OLD.unit USING ERRCODE = 'PT005';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION postern.frozen_stays() IS 'Trigger: a frozen unit never leaves its state';

CREATE FUNCTION postern.frozen_block_stays() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF upper_inf(OLD.during) AND (TG_OP = 'DELETE' OR NOT upper_inf(NEW.during) OR NEW.unit <> OLD.unit)
       AND EXISTS (SELECT FROM postern.ip_freeze f WHERE f.unit = OLD.unit) THEN
        RAISE EXCEPTION '% is frozen: its block cannot close', OLD.unit USING ERRCODE = 'PT005';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION postern.frozen_block_stays() IS 'Trigger: the block of a frozen unit never closes';

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON postern.ip_freeze
    FOR EACH STATEMENT EXECUTE FUNCTION postern.refuse_change();
CREATE TRIGGER only_the_freezer BEFORE INSERT ON postern.ip_freeze
    FOR EACH STATEMENT EXECUTE FUNCTION postern.only_the_freezer();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON postern.audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION postern.refuse_change();
CREATE TRIGGER frozen_stays BEFORE UPDATE OR DELETE ON postern.ip_state
    FOR EACH ROW EXECUTE FUNCTION postern.frozen_stays();
CREATE TRIGGER frozen_stays BEFORE UPDATE OR DELETE ON postern.block
    FOR EACH ROW EXECUTE FUNCTION postern.frozen_block_stays();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON postern.ip_state
    FOR EACH STATEMENT EXECUTE FUNCTION postern.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON postern.block
    FOR EACH STATEMENT EXECUTE FUNCTION postern.refuse_change();
-- ALWAYS: session_replication_role = replica does not switch them off.
ALTER TABLE postern.ip_freeze ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE postern.ip_freeze ENABLE ALWAYS TRIGGER only_the_freezer;
ALTER TABLE postern.audit_event ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE postern.ip_state ENABLE ALWAYS TRIGGER frozen_stays;
ALTER TABLE postern.ip_state ENABLE ALWAYS TRIGGER refuse_truncate;
ALTER TABLE postern.block ENABLE ALWAYS TRIGGER frozen_stays;
ALTER TABLE postern.block ENABLE ALWAYS TRIGGER refuse_truncate;

RESET ROLE;
