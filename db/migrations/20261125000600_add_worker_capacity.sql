-- migrate:up

SET LOCAL lock_timeout = '2s';

-- How many gateways a worker can carry by the limits of its system, so that its quota is one that it can fill.
-- NULL for a worker of a version that does not say.
ALTER TABLE workers
ADD COLUMN gateway_capacity bigint,
-- squawk-ignore constraint-missing-not-valid
ADD CONSTRAINT workers_gateway_capacity_not_negative CHECK (gateway_capacity >= 0);

-- Whether there are workers, and none has room for another gateway.
CREATE FUNCTION workers_are_full() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(bool_and(coalesce(w.gateways_held >= w.gateway_capacity, FALSE)), FALSE)
    FROM workers AS w
    WHERE worker_is_live(w) AND NOT w.is_draining
$$;

-- As before, but that a gateway which no worker has room for says so. That is looked up once a query, and only if
-- such a gateway is among its rows.
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
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected' THEN 'no_worker'
        WHEN c.worker_id IS NULL OR live.is_live THEN c.reason_code
        ELSE 'worker_lost'
    END AS reason_code,
    CASE
        WHEN c.worker_id IS NULL AND g.desired_state = 'connected'
            THEN 'No worker has taken this gateway yet.'
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

DROP FUNCTION workers_are_full();

-- squawk-ignore ban-drop-column
ALTER TABLE workers DROP COLUMN gateway_capacity;
