-- SPDX-License-Identifier: Apache-2.0
-- The loss ledger closes: beside what was received and what was lost stands what the exporters'
-- own numbering says was sent, and the rest of the sum, too.

SET LOCAL ROLE postern_owner;

ALTER TABLE postern.exporter_loss
    ADD COLUMN lost_down bigint NOT NULL DEFAULT 0,
    ADD COLUMN expected bigint NOT NULL DEFAULT 0,
    ADD COLUMN twice bigint NOT NULL DEFAULT 0,
    ADD COLUMN expected_datagrams bigint NOT NULL DEFAULT 0,
    ADD COLUMN datagrams bigint NOT NULL DEFAULT 0,
    ADD COLUMN duplicates bigint NOT NULL DEFAULT 0,
    ADD COLUMN lost_datagrams bigint NOT NULL DEFAULT 0,
    ADD COLUMN reordered bigint NOT NULL DEFAULT 0,
    ADD COLUMN restarts bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN postern.exporter_loss.received IS 'Records that were received and reached the bus, or were no mail';
COMMENT ON COLUMN postern.exporter_loss.lost_down IS 'Sent while no collector ran that lived to tell of it';
COMMENT ON COLUMN postern.exporter_loss.expected IS 'Records that were sent, by the exporter''s own numbers; v9 numbers datagrams: estimated';
COMMENT ON COLUMN postern.exporter_loss.twice IS 'Records of datagrams that came twice; they are among the received';
COMMENT ON COLUMN postern.exporter_loss.expected_datagrams IS 'Datagrams that were sent; v5 and IPFIX number records: estimated';
COMMENT ON COLUMN postern.exporter_loss.datagrams IS 'Datagrams that were decoded';
COMMENT ON COLUMN postern.exporter_loss.duplicates IS 'Datagrams that came twice; they are among the decoded';
COMMENT ON COLUMN postern.exporter_loss.lost_datagrams IS 'Datagrams that did not reach the decoder whole';
COMMENT ON COLUMN postern.exporter_loss.reordered IS 'Datagrams that others overtook';
COMMENT ON COLUMN postern.exporter_loss.restarts IS 'Times that the exporter''s numbers began anew';
-- What was counted before this version was received or lost, and nothing else was known.
UPDATE postern.exporter_loss
   SET expected = received + lost_network + lost_kernel + lost_malformed + lost_no_template + lost_not_admitted;

CREATE TABLE postern.exporter_ledger (
    exporter inet NOT NULL,
    domain bigint NOT NULL,
    ledger bigint NOT NULL,
    expected bigint NOT NULL,
    expected_datagrams bigint NOT NULL,
    version int NOT NULL,
    sampling_rate bigint NOT NULL,
    clock_offset_ms bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (exporter, domain, ledger)
);
COMMENT ON TABLE postern.exporter_ledger IS 'How far each collector''s ledger of an exporter''s domain has come: a sum, so that a heartbeat that is lost or comes twice changes nothing. A ledger that was silent for 30 days goes when its exporter is heard again';
COMMENT ON COLUMN postern.exporter_ledger.ledger IS 'Name of the ledger; a collector that keeps its state goes on with it after a restart';
COMMENT ON COLUMN postern.exporter_ledger.expected IS 'Records that were sent in all, as this ledger knows';
COMMENT ON COLUMN postern.exporter_ledger.expected_datagrams IS 'The same in datagrams';
COMMENT ON COLUMN postern.exporter_ledger.version IS '5, 9, 10 (IPFIX); 0: not known';
COMMENT ON COLUMN postern.exporter_ledger.sampling_rate IS 'N of 1:N of the last flow that told; 0: none did';
COMMENT ON COLUMN postern.exporter_ledger.clock_offset_ms IS 'Exporter''s clock minus the collector''s';
COMMENT ON COLUMN postern.exporter_ledger.seen_at IS 'Time of its last heartbeat';
GRANT SELECT, INSERT, UPDATE, DELETE ON postern.exporter_ledger TO postern_ingest;

CREATE OR REPLACE VIEW api_v1.exporter_loss AS
    SELECT l.hour, l.exporter, l.domain, l.received, t.lost,
           round(100.0 * t.lost / nullif(l.received + t.lost, 0), 3) AS lost_percent,
           l.lost_network, l.lost_kernel, l.lost_malformed, l.lost_no_template, l.lost_not_admitted,
           l.lost_queue, l.lost_spool, l.lost_bus, l.lost_down, l.expected, l.twice,
           l.expected - (l.received - l.twice + t.lost) AS unaccounted,
           l.expected_datagrams, l.datagrams, l.duplicates, l.lost_datagrams, l.reordered, l.restarts
      FROM postern.exporter_loss l,
           LATERAL (SELECT l.lost_network + l.lost_kernel + l.lost_malformed + l.lost_no_template
                           + l.lost_not_admitted + l.lost_queue + l.lost_spool + l.lost_bus + l.lost_down AS lost) AS t;
COMMENT ON VIEW api_v1.exporter_loss IS 'Records sent, received and lost per exporter, domain and hour (UTC): expected = received - twice + lost + unaccounted';
COMMENT ON COLUMN api_v1.exporter_loss.unaccounted IS 'About 0 in an hour that is over. Above: not read from the bus yet, or died with a collector that was killed. Below: what such a collector had delivered and the next one took for lost';
COMMENT ON COLUMN api_v1.exporter_loss.expected IS 'Records that were sent, by the exporter''s own numbers; v9 numbers datagrams: estimated';
COMMENT ON COLUMN api_v1.exporter_loss.twice IS 'Records of datagrams that came twice; they are among the received';
COMMENT ON COLUMN api_v1.exporter_loss.expected_datagrams IS 'Datagrams that were sent; v5 and IPFIX number records: estimated';

CREATE VIEW api_v1.exporters AS
    SELECT DISTINCT ON (l.exporter, l.domain) l.exporter, l.domain,
           CASE l.version WHEN 10 THEN 'IPFIX' WHEN 9 THEN 'NetFlow v9' WHEN 5 THEN 'NetFlow v5' ELSE '?' END AS protocol,
           nullif(l.sampling_rate, 0) AS sampling_rate, l.clock_offset_ms * interval '1 millisecond' AS clock_offset,
           l.seen_at
      FROM postern.exporter_ledger l ORDER BY l.exporter, l.domain, l.seen_at DESC;
COMMENT ON VIEW api_v1.exporters IS 'Every exporter and observation domain that was heard, as of its last heartbeat';
COMMENT ON COLUMN api_v1.exporters.sampling_rate IS 'N of 1:N of its last flow that told; NULL: none did';
COMMENT ON COLUMN api_v1.exporters.clock_offset IS 'Its clock minus the collector''s';
COMMENT ON COLUMN api_v1.exporters.seen_at IS 'Time of its last heartbeat';
GRANT SELECT ON api_v1.exporters TO postern_analyst, postern_officer, postern_auditor, postern_monitor;

RESET ROLE;
