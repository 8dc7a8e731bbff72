-- migrate:up

-- Whether what a worker last wrote is true now: it has not ended, its lease has not expired, and the session that
-- renews the lease exists.
CREATE FUNCTION worker_is_live(worker workers) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT worker.ended_at IS NULL
        AND worker.lease_expires_at > clock_timestamp()
        AND EXISTS (
            SELECT FROM pg_stat_get_activity(worker.session_pid) AS session
            WHERE session.backend_start = worker.session_started_at
        )
$$;

-- The status of every gateway that is not deleted, computed when it is read, by the clock of this server. The state of
-- a gateway is `unknown` while the worker that holds it is not live.
CREATE VIEW gateway_statuses AS
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

-- migrate:down

DROP VIEW gateway_statuses;
DROP FUNCTION worker_is_live(workers);
