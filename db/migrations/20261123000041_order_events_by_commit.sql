-- migrate:up

-- This rewrites gateway_events and locks it as long as that takes: some seconds for millions of transitions.
-- squawk-ignore-file adding-field-with-default, require-concurrent-index-creation
-- squawk-ignore-file require-concurrent-index-deletion

-- Ids are drawn before a transaction commits, so a lower one may show after a higher one, and who goes on
-- behind the highest that they saw misses it. Transactions are different: all below the oldest that still runs
-- have ended, so what they wrote can be read in the order (written_by, id) without a gap, by no clock.
--
-- It is generated, from a function that is said to be immutable, for one reason: pg_dump leaves generated columns
-- out. A transition that is restored elsewhere belongs to the transaction that restored it there; the number of
-- its first one would mean nothing. Nobody updates a transition, so it is made once.
CREATE FUNCTION writing_transaction(bigint) RETURNS xid8
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN pg_current_xact_id();
END;
$$;

ALTER TABLE gateway_events
ADD COLUMN written_by xid8 NOT NULL GENERATED ALWAYS AS (writing_transaction(id)) STORED;

CREATE INDEX gateway_events_written_by_id_idx ON gateway_events (written_by, id);

-- Within which transactions have one order: this server's, until one that was behind it takes over.
CREATE FUNCTION event_stream() RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT system_identifier::text FROM pg_control_system())
|| '/' || substring(pg_walfile_name(pg_current_wal_insert_lsn()) FOR 8);

-- Up to where the stream may have gaps: the last transition in it that was ever pruned.
ALTER TABLE history_bounds
ADD COLUMN events_pruned_in text,
ADD COLUMN events_pruned_by xid8,
ADD COLUMN events_pruned_id bigint;

CREATE OR REPLACE FUNCTION remember_pruned_events() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE history_bounds SET events_pruned_until = newest.at
    FROM (SELECT max(at) AS at FROM pruned) AS newest
    WHERE newest.at > history_bounds.events_pruned_until;
    UPDATE history_bounds AS b SET
        events_pruned_in = event_stream(),
        events_pruned_by = last.written_by,
        events_pruned_id = last.id
    FROM (SELECT written_by, id FROM pruned ORDER BY written_by DESC, id DESC LIMIT 1) AS last
    WHERE b.events_pruned_in IS DISTINCT FROM event_stream()
        OR (last.written_by, last.id) > (b.events_pruned_by, b.events_pruned_id);
    RETURN NULL;
END;
$$;

-- migrate:down

CREATE OR REPLACE FUNCTION remember_pruned_events() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE history_bounds SET events_pruned_until = newest.at
    FROM (SELECT max(at) AS at FROM pruned) AS newest
    WHERE newest.at > history_bounds.events_pruned_until;
    RETURN NULL;
END;
$$;
-- squawk-ignore ban-drop-column
ALTER TABLE history_bounds DROP COLUMN events_pruned_id, DROP COLUMN events_pruned_by, DROP COLUMN events_pruned_in;
DROP FUNCTION event_stream();
DROP INDEX gateway_events_written_by_id_idx;
-- squawk-ignore ban-drop-column
ALTER TABLE gateway_events DROP COLUMN written_by;
DROP FUNCTION writing_transaction(bigint);
