-- A past for the fleet of fleet.py, which is only seconds old: three weeks in which it was connected, with outages.
-- Without triggers: what is changed here is no event of its own.
SET session_replication_role = replica;

UPDATE gateways SET created_at = created_at - interval '21 days';
UPDATE desired_state_changes SET at = at - interval '21 days';
UPDATE gateway_events SET at = at - interval '21 days';
UPDATE gateway_connections
SET
    state_since = state_since - interval '21 days', connected_since = connected_since - interval '21 days';

UPDATE event_pruning SET events_pruned_until = now() - interval '60 days';
DELETE FROM gateway_events USING gateways AS g WHERE gateway_events.gateway_id = g.id AND g.name = 'Kiln 2';

CREATE TEMPORARY TABLE outages AS
SELECT g.id AS gateway_id, g.factory_id, c.worker_id, c.epoch, o.began, o.ended
FROM (
    VALUES
        ('Press section', interval '9 days', interval '9 days' - interval '5 hours'),
        ('Press section', interval '16 hours', interval '15 hours'),
        ('Kiln 1', interval '3 hours', interval '2 hours'),
        ('Kiln 2', NULL, interval '21 days' - interval '1 minute'),
        ('Kiln 2', interval '13 days', interval '13 days' - interval '11 hours'),
        ('Kiln 2', interval '9 hours', interval '8 hours'),
        ('Kiln 2', interval '12 minutes', NULL)
) AS o (name, began, ended)
JOIN gateways AS g USING (name)
JOIN gateway_connections AS c ON g.id = c.gateway_id;

INSERT INTO gateway_events (
    gateway_id, factory_id, worker_id, epoch, at, from_state, to_state, attempt, reason_code, reason_message,
    reason_phase
)
SELECT
    o.gateway_id, o.factory_id, o.worker_id, o.epoch, now() - t.ago, t.from_state, t.to_state, 1,
    t.code, t.message, t.phase
FROM outages AS o
CROSS JOIN LATERAL (
    VALUES
        (o.began, 'connected', 'retrying', 'ping_timeout', 'No answer to a ping in time.', 'connected'),
        (o.ended, 'retrying', 'connected', NULL, NULL, NULL)
) AS t (ago, from_state, to_state, code, message, phase)
WHERE t.ago IS NOT NULL
ORDER BY t.ago DESC;

UPDATE gateway_connections AS c
SET state_since = e.at, connected_since = CASE WHEN c.state = 'connected' THEN e.at END
FROM (SELECT gateway_id, max(at) AS at FROM gateway_events GROUP BY gateway_id) AS e
WHERE c.gateway_id = e.gateway_id;
UPDATE gateway_connections AS c
SET
    last_connected_at = c.state_since - interval '8 hours', last_seen_at = c.state_since - interval '20 seconds',
    last_message_at = c.state_since - interval '1 minute', last_disconnected_at = c.state_since
WHERE c.state = 'retrying';
