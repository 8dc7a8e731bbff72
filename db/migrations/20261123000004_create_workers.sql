-- migrate:up

-- One number a registration, never used twice: what a worker writes carries it.
CREATE SEQUENCE worker_epochs AS bigint;

-- Every worker process that was ever started, until it is pruned. A worker is live while ended_at is null
-- and its lease runs; ending it (by itself, or by another worker after its lease) is one update, once.
CREATE TABLE workers (
    id uuid NOT NULL DEFAULT uuidv7(),
    epoch bigint NOT NULL DEFAULT nextval('worker_epochs'),
    host text NOT NULL,
    pid bigint NOT NULL,
    version text NOT NULL,
    -- The database session that renews the lease; when it is gone, so is the worker.
    -- A process id, as PostgreSQL has it.
    -- squawk-ignore prefer-bigint-over-int
    session_pid integer NOT NULL,
    session_started_at timestamptz NOT NULL,
    lease_duration interval NOT NULL,
    gateways_held bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    lease_expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT workers_pkey PRIMARY KEY (id),
    CONSTRAINT workers_epoch_key UNIQUE (epoch),
    CONSTRAINT workers_host_length CHECK (char_length(host) BETWEEN 1 AND 255),
    CONSTRAINT workers_lease_duration_positive CHECK (lease_duration > interval '0'),
    CONSTRAINT workers_gateways_held_not_negative CHECK (gateways_held >= 0)
)
WITH (fillfactor = 50);

ALTER SEQUENCE worker_epochs OWNED BY workers.epoch;

-- The few that may be live, among many that have ended.
CREATE INDEX workers_not_ended_idx ON workers (id) WHERE ended_at IS NULL;

-- migrate:down

DROP TABLE workers;
