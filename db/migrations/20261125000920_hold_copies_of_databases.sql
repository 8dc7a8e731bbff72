-- migrate:up

-- A copy of a database is held: no worker connects its gateways until it is taken over. What tells it from its
-- original is the cluster and the database that the rows were written in, which a dump does not carry along.

SET LOCAL lock_timeout = '2s';

-- Where workers may work: recorded by the first one that registers, and changed by a take-over alone.
CREATE TABLE database_identity (
    is_only_row boolean PRIMARY KEY DEFAULT TRUE,
    identity text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT database_identity_is_only_row CHECK (is_only_row)
);

CREATE FUNCTION current_database_identity() RETURNS text LANGUAGE sql STABLE RETURN (
    SELECT format('%s/%s', system.system_identifier, d.oid)
    FROM pg_control_system() AS system
    CROSS JOIN pg_database AS d
    WHERE d.datname = current_database()
);

-- A database in which no worker ever was (a new one, or a copy of a template) has no row, and is not held.
CREATE FUNCTION database_is_held() RETURNS boolean LANGUAGE sql STABLE RETURN coalesce(
    (SELECT i.identity <> current_database_identity() FROM database_identity AS i), FALSE
);

-- A dump taken before the first worker of this version registers is recognised as well.
INSERT INTO database_identity (identity)
SELECT current_database_identity() WHERE EXISTS (SELECT FROM workers);

-- A copy in the cluster of its original has workers whose sessions are there, but in another database.
CREATE OR REPLACE FUNCTION worker_is_live(worker workers) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT worker.ended_at IS NULL
        AND worker.lease_expires_at > clock_timestamp()
        AND EXISTS (
            SELECT FROM pg_stat_get_activity(worker.session_pid) AS session
            WHERE session.backend_start = worker.session_started_at
                AND session.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        )
$$;

-- What a copy says of gateways that no live worker holds.
CREATE OR REPLACE VIEW gateway_statuses AS
SELECT
    g.id,
    g.factory_id,
    g.desired_state,
    CASE
        WHEN c.worker_id IS NULL THEN 'disconnected'
        WHEN live.is_live THEN c.state
        ELSE 'unknown'
    END AS state,
    CASE
        WHEN c.gateway_id IS NULL THEN g.created_at
        WHEN c.worker_id IS NULL OR live.is_live THEN c.state_since
        ELSE greatest(w.heartbeat_at, c.state_since)
    END AS state_since,
    CASE
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected'
            THEN CASE
                WHEN (SELECT database_is_held()) THEN 'database_held'
                WHEN (SELECT workers_are_full()) THEN 'no_capacity'
                ELSE 'no_worker'
            END
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_code
        WHEN (SELECT database_is_held()) THEN 'database_held'
        ELSE 'worker_lost'
    END AS reason_code,
    CASE
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected'
            THEN CASE
                WHEN (SELECT database_is_held()) THEN 'This database is a copy that was not taken over.'
                WHEN (SELECT workers_are_full()) THEN 'All workers are at capacity.'
                ELSE 'No worker has taken this gateway yet.'
            END
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_message
        WHEN (SELECT database_is_held()) THEN 'This database is a copy that was not taken over.'
        ELSE 'The worker that holds this gateway is not heard of.'
    END AS reason_message,
    CASE
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected' THEN 'claim'
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_phase
        ELSE 'claim'
    END AS reason_phase,
    CASE
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected' THEN TRUE
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_retryable
        ELSE TRUE
    END AS reason_retryable,
    CASE
        WHEN c.gateway_id IS NULL AND g.desired_state = 'connected' THEN g.created_at
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected'
            THEN greatest(c.state_since, g.connect_requested_at)
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_at
        ELSE greatest(w.heartbeat_at, c.state_since)
    END AS reason_at,
    coalesce(c.attempt, 0) AS attempt,
    CASE WHEN live.is_live THEN c.next_attempt_at END AS next_attempt_at,
    CASE WHEN live.is_live THEN c.connected_since END AS connected_since,
    c.last_connected_at,
    c.last_disconnected_at,
    c.last_seen_at,
    c.last_message_at,
    g.generation,
    c.observed_generation,
    c.worker_id,
    w.host AS worker_host,
    w.lease_expires_at AS worker_lease_expires_at,
    clock_timestamp() AS as_of
FROM gateways AS g
LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id
LEFT JOIN workers AS w ON c.worker_id = w.id
LEFT JOIN LATERAL (SELECT worker_is_live(w) AS is_live) AS live ON TRUE
WHERE g.deleted_at IS NULL;

-- migrate:down

CREATE OR REPLACE VIEW gateway_statuses AS
SELECT
    g.id,
    g.factory_id,
    g.desired_state,
    CASE
        WHEN c.worker_id IS NULL THEN 'disconnected'
        WHEN live.is_live THEN c.state
        ELSE 'unknown'
    END AS state,
    CASE
        WHEN c.gateway_id IS NULL THEN g.created_at
        WHEN c.worker_id IS NULL OR live.is_live THEN c.state_since
        ELSE greatest(w.heartbeat_at, c.state_since)
    END AS state_since,
    CASE
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected'
            THEN CASE WHEN (SELECT workers_are_full()) THEN 'no_capacity' ELSE 'no_worker' END
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_code
        ELSE 'worker_lost'
    END AS reason_code,
    CASE
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected'
            THEN CASE
                WHEN (SELECT workers_are_full()) THEN 'All workers are at capacity.'
                ELSE 'No worker has taken this gateway yet.'
            END
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_message
        ELSE 'The worker that holds this gateway is not heard of.'
    END AS reason_message,
    CASE
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected' THEN 'claim'
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_phase
        ELSE 'claim'
    END AS reason_phase,
    CASE
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected' THEN TRUE
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_retryable
        ELSE TRUE
    END AS reason_retryable,
    CASE
        WHEN c.gateway_id IS NULL AND g.desired_state = 'connected' THEN g.created_at
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected'
            THEN greatest(c.state_since, g.connect_requested_at)
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_at
        ELSE greatest(w.heartbeat_at, c.state_since)
    END AS reason_at,
    coalesce(c.attempt, 0) AS attempt,
    CASE WHEN live.is_live THEN c.next_attempt_at END AS next_attempt_at,
    CASE WHEN live.is_live THEN c.connected_since END AS connected_since,
    c.last_connected_at,
    c.last_disconnected_at,
    c.last_seen_at,
    c.last_message_at,
    g.generation,
    c.observed_generation,
    c.worker_id,
    w.host AS worker_host,
    w.lease_expires_at AS worker_lease_expires_at,
    clock_timestamp() AS as_of
FROM gateways AS g
LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id
LEFT JOIN workers AS w ON c.worker_id = w.id
LEFT JOIN LATERAL (SELECT worker_is_live(w) AS is_live) AS live ON TRUE
WHERE g.deleted_at IS NULL;

CREATE OR REPLACE FUNCTION worker_is_live(worker workers) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT worker.ended_at IS NULL
        AND worker.lease_expires_at > clock_timestamp()
        AND EXISTS (
            SELECT FROM pg_stat_get_activity(worker.session_pid) AS session
            WHERE session.backend_start = worker.session_started_at
        )
$$;

DROP FUNCTION database_is_held();
DROP FUNCTION current_database_identity();
DROP TABLE database_identity;
