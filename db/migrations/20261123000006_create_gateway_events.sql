-- migrate:up

-- Every transition, append-only, kept for a configured number of days.
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
    -- No foreign key: history outlives the workers that made it.
    worker_id uuid,
    epoch bigint,
    CONSTRAINT gateway_events_pkey PRIMARY KEY (id),
    CONSTRAINT gateway_events_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES gateways (id)
);

CREATE INDEX gateway_events_gateway_id_id_idx ON gateway_events (gateway_id, id);
CREATE INDEX gateway_events_at_idx ON gateway_events (at);

-- migrate:down

DROP TABLE gateway_events;
