-- migrate:up

-- Every transition of every gateway: append-only, pruned after EVENT_RETENTION_DAYS.
CREATE TABLE gateway_events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    gateway_id uuid NOT NULL,
    at timestamptz NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    reason_code text,
    reason_message text,
    reason_phase text,
    attempt bigint NOT NULL,
    generation bigint,
    -- No foreign key: transitions outlive the workers that wrote them.
    worker_id uuid,
    epoch bigint,
    -- Ids are drawn before the commit, so a lower one may appear after a higher one: a client that goes on after the
    -- highest that it saw would miss it. Clients follow the order (written_by, id). A transition never changes its
    -- place in that order: it is written once.
    written_by xid8 NOT NULL GENERATED ALWAYS AS (writing_transaction(id)) STORED,
    CONSTRAINT gateway_events_pkey PRIMARY KEY (id),
    CONSTRAINT gateway_events_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES gateways (id)
);

-- The history of a gateway; and for the foreign key.
CREATE INDEX gateway_events_gateway_id_id_idx ON gateway_events (gateway_id, id);

-- Pruning.
CREATE INDEX gateway_events_at_idx ON gateway_events (at);

-- The stream of all events.
CREATE INDEX gateway_events_written_by_id_idx ON gateway_events (written_by, id);

-- The sequence of transactions that cursors belong to. It is another one on another server, and after a replica, which
-- may lack the last transactions, took over: its timeline differs.
CREATE FUNCTION event_stream() RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT system_identifier::text FROM pg_control_system())
|| '/' || substring(pg_walfile_name(pg_current_wal_insert_lsn()) FOR 8);

-- Up to where gateway_events may have gaps: the newest time of a pruned transition, and the last pruned transition in
-- the order of a stream.
CREATE TABLE history_bounds (
    is_only_row boolean NOT NULL DEFAULT TRUE,
    events_pruned_until timestamptz NOT NULL,
    events_pruned_in text,
    events_pruned_by xid8,
    events_pruned_id bigint,
    -- Together with the key: one row.
    CONSTRAINT history_bounds_pkey PRIMARY KEY (is_only_row),
    CONSTRAINT history_bounds_is_only_row CHECK (is_only_row)
);

-- There is no history yet.
INSERT INTO history_bounds (events_pruned_until) VALUES (now());

CREATE FUNCTION remember_pruned_events() RETURNS trigger
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

-- Whoever deletes transitions, clients are told that some are missing. Once per statement: it deletes thousands.
CREATE TRIGGER gateway_events_remember_pruned
AFTER DELETE ON gateway_events
REFERENCING OLD TABLE AS pruned
FOR EACH STATEMENT EXECUTE FUNCTION remember_pruned_events();

-- The changes of the desired state: append-only, never pruned. A gateway is wanted while it is not deleted and its
-- desired state is connected. Availability needs both histories: how much of the wanted time it was connected.
CREATE TABLE gateway_wishes (
    id bigint GENERATED ALWAYS AS IDENTITY,
    gateway_id uuid NOT NULL,
    at timestamptz NOT NULL,
    is_wanted boolean NOT NULL,
    CONSTRAINT gateway_wishes_pkey PRIMARY KEY (id),
    -- Nobody asks for the availability of a gateway that was removed by hand.
    CONSTRAINT gateway_wishes_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES gateways (id)
    ON DELETE CASCADE
);

-- The history of a gateway; and for the foreign key.
CREATE INDEX gateway_wishes_gateway_id_id_idx ON gateway_wishes (gateway_id, id);

CREATE FUNCTION remember_gateway_wish() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gateway_wishes (gateway_id, at, is_wanted)
    VALUES (
        NEW.id,
        CASE WHEN TG_OP = 'INSERT' THEN NEW.created_at ELSE clock_timestamp() END,
        NEW.deleted_at IS NULL AND NEW.desired_state = 'connected'
    );
    RETURN NULL;
END;
$$;

-- Whoever writes a gateway, the record of what was wanted is complete: from its creation…
CREATE TRIGGER gateways_remember_first_wish
AFTER INSERT ON gateways
FOR EACH ROW EXECUTE FUNCTION remember_gateway_wish();

-- … with every change.
CREATE TRIGGER gateways_remember_wish
AFTER UPDATE ON gateways
FOR EACH ROW
WHEN (
    (OLD.deleted_at IS NULL AND OLD.desired_state = 'connected')
    IS DISTINCT FROM (NEW.deleted_at IS NULL AND NEW.desired_state = 'connected')
)
EXECUTE FUNCTION remember_gateway_wish();

-- migrate:down

DROP TRIGGER gateways_remember_wish ON gateways;
DROP TRIGGER gateways_remember_first_wish ON gateways;
DROP FUNCTION remember_gateway_wish();
DROP TABLE gateway_wishes;
DROP TABLE gateway_events;
DROP FUNCTION remember_pruned_events();
DROP TABLE history_bounds;
DROP FUNCTION event_stream();
