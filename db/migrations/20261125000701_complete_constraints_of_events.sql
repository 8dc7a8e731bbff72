-- migrate:up

SET LOCAL lock_timeout = '2s';

ALTER TABLE gateway_events
-- The states of workers/gateway_manager/states.py, and `unknown`: the state of a gateway whose worker was lost.
ADD CONSTRAINT gateway_events_from_state CHECK (
    from_state IN (
        'disconnected', 'connecting', 'authenticating', 'connected',
        'retrying', 'auth_failed', 'disconnecting', 'unknown'
    )
) NOT VALID,
ADD CONSTRAINT gateway_events_to_state CHECK (
    to_state IN (
        'disconnected', 'connecting', 'authenticating', 'connected',
        'retrying', 'auth_failed', 'disconnecting', 'unknown'
    )
) NOT VALID,
-- A reason is shown as one object.
ADD CONSTRAINT gateway_events_reason_is_whole CHECK (
    num_nulls(reason_code, reason_message, reason_phase) IN (0, 3)
) NOT VALID,
ADD CONSTRAINT gateway_events_attempt_not_negative CHECK (attempt >= 0) NOT VALID;

-- migrate:down

ALTER TABLE gateway_events
DROP CONSTRAINT gateway_events_attempt_not_negative,
DROP CONSTRAINT gateway_events_reason_is_whole,
DROP CONSTRAINT gateway_events_to_state,
DROP CONSTRAINT gateway_events_from_state;
