-- migrate:up

-- One number per registration, never used twice: everything that a worker writes carries it.
CREATE SEQUENCE worker_epochs AS bigint;

-- Every worker process that was ever started, until it is pruned. A worker is live while ended_at is NULL and its lease
-- has not expired. It is ended once, in one update, by itself or, after its lease, by another worker.
CREATE TABLE workers (
    id uuid NOT NULL DEFAULT uuidv7(),
    epoch bigint NOT NULL DEFAULT nextval('worker_epochs'),
    host text NOT NULL,
    pid bigint NOT NULL,
    version text NOT NULL,
    -- The database session that renews the lease: when it is gone, so is the worker. PostgreSQL's process ids are
    -- integers.
    -- squawk-ignore prefer-bigint-over-int
    session_pid integer NOT NULL,
    session_started_at timestamptz NOT NULL,
    lease_duration interval NOT NULL,
    gateways_held bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    lease_expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    -- It is about to stop: it claims nothing, and no share is kept for it.
    is_draining boolean NOT NULL DEFAULT FALSE,
    CONSTRAINT workers_pkey PRIMARY KEY (id),
    -- Two registrations with one epoch could not be told apart in what they write.
    CONSTRAINT workers_epoch_key UNIQUE (epoch),
    -- POSIX allows no longer host name.
    CONSTRAINT workers_host_length CHECK (char_length(host) BETWEEN 1 AND 255),
    -- A lease that has expired when it begins would never be held.
    CONSTRAINT workers_lease_duration_positive CHECK (lease_duration > interval '0'),
    CONSTRAINT workers_gateways_held_not_negative CHECK (gateways_held >= 0)
)
-- Leases are renewed in place (HOT): there is room on the page, and no index on what a renewal writes.
WITH (fillfactor = 50);

ALTER SEQUENCE worker_epochs OWNED BY workers.epoch;

-- The few that may be live, among many that have ended.
CREATE INDEX workers_not_ended_idx ON workers (id) WHERE ended_at IS NULL;

-- Observed state: one row per gateway, written by workers alone. Either by the worker that holds the gateway
-- (worker_id, epoch), or by one that ends a dead worker and so frees what that held.
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
    -- Logins in a row that the gateway rejected, and when the last was: the next worker that holds the gateway goes on
    -- counting.
    rejected_logins bigint NOT NULL DEFAULT 0,
    last_rejected_at timestamptz,
    CONSTRAINT gateway_connections_pkey PRIMARY KEY (gateway_id),
    CONSTRAINT gateway_connections_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES gateways (id),
    -- A worker that holds gateways is not pruned.
    CONSTRAINT gateway_connections_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES workers (id),
    -- The states of workers/gateway_manager/states.py. `unknown` is not stored: the view computes it.
    CONSTRAINT gateway_connections_state CHECK (
        state IN (
            'disconnected', 'connecting', 'authenticating', 'connected',
            'retrying', 'auth_failed', 'disconnecting'
        )
    ),
    -- Writers compare both: half a holder could not write, and nobody else could claim the gateway.
    CONSTRAINT gateway_connections_holder_is_whole CHECK ((worker_id IS NULL) = (epoch IS NULL)),
    -- A gateway that nobody holds has no socket.
    CONSTRAINT gateway_connections_unheld_is_disconnected CHECK (
        worker_id IS NOT NULL OR state = 'disconnected'
    ),
    -- The time of a session is shown while it lasts, and only then.
    CONSTRAINT gateway_connections_connected_has_since CHECK (
        (state = 'connected') = (connected_since IS NOT NULL)
    ),
    -- A reason is shown as one object.
    CONSTRAINT gateway_connections_reason_is_whole CHECK (
        num_nulls(reason_code, reason_message, reason_phase, reason_retryable, reason_at) IN (0, 5)
    ),
    CONSTRAINT gateway_connections_attempt_not_negative CHECK (attempt >= 0)
)
-- Rows are updated in place (HOT): there is room on the page, and no index on what changes often.
WITH (fillfactor = 50);

-- What a worker holds; and for the foreign key.
CREATE INDEX gateway_connections_worker_id_idx ON gateway_connections (worker_id);

-- The list by state. Most are connected, and found in the order of the list. A state changes rarely; what is written
-- every few seconds (last_seen_at) has no index, so that it is written in place.
CREATE INDEX gateway_connections_state_idx ON gateway_connections (state) WHERE state <> 'connected';

-- migrate:down

DROP TABLE gateway_connections;
DROP TABLE workers;
