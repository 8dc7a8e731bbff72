-- migrate:up

-- What is. One row a gateway, written by workers only: by the one that holds the gateway (worker_id, epoch),
-- or by the one that ends a dead worker and so frees what it held.
CREATE TABLE gateway_connections (
    gateway_id uuid NOT NULL,
    worker_id uuid,
    epoch bigint,
    state text NOT NULL DEFAULT 'disconnected',
    state_since timestamptz NOT NULL DEFAULT now(),
    reason_code text,
    reason_message text,
    reason_phase text,
    reason_retryable boolean,
    reason_at timestamptz,
    attempt bigint NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    observed_generation bigint,
    connected_since timestamptz,
    last_connected_at timestamptz,
    last_disconnected_at timestamptz,
    last_seen_at timestamptz,
    last_message_at timestamptz,
    connects bigint NOT NULL DEFAULT 0,
    messages_received bigint NOT NULL DEFAULT 0,
    CONSTRAINT gateway_connections_pkey PRIMARY KEY (gateway_id),
    CONSTRAINT gateway_connections_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES gateways (id),
    CONSTRAINT gateway_connections_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES workers (id),
    CONSTRAINT gateway_connections_state CHECK (
        state IN (
            'disconnected', 'connecting', 'authenticating', 'connected',
            'retrying', 'auth_failed', 'disconnecting'
        )
    ),
    -- Whoever holds it is named whole, and what nobody holds has no socket.
    CONSTRAINT gateway_connections_holder_is_whole CHECK ((worker_id IS NULL) = (epoch IS NULL)),
    CONSTRAINT gateway_connections_unheld_is_disconnected CHECK (
        worker_id IS NOT NULL OR state = 'disconnected'
    ),
    CONSTRAINT gateway_connections_connected_has_since CHECK (
        (state = 'connected') = (connected_since IS NOT NULL)
    ),
    CONSTRAINT gateway_connections_reason_is_whole CHECK (
        num_nulls(reason_code, reason_message, reason_phase, reason_retryable, reason_at) IN (0, 5)
    ),
    CONSTRAINT gateway_connections_attempt_not_negative CHECK (attempt >= 0)
)
-- Rows change in place (HOT): room on the page, and no index on what changes often.
WITH (fillfactor = 50);

CREATE INDEX gateway_connections_worker_id_idx ON gateway_connections (worker_id);

-- migrate:down

DROP TABLE gateway_connections;
