-- migrate:up

SET LOCAL lock_timeout = '2s';

-- The rows of before the last three migrations. This reads the tables whole, and keeps nobody from reading or writing
-- them meanwhile, which to do it with the constraints' creation would.
ALTER TABLE gateway_connections VALIDATE CONSTRAINT gateway_connections_worker_id_epoch_fkey;
ALTER TABLE gateway_connections VALIDATE CONSTRAINT gateway_connections_connects_not_negative;
ALTER TABLE gateway_connections VALIDATE CONSTRAINT gateway_connections_messages_received_not_negative;
ALTER TABLE gateway_connections VALIDATE CONSTRAINT gateway_connections_rejected_logins_not_negative;
ALTER TABLE gateway_connections VALIDATE CONSTRAINT gateway_connections_waiting_has_next_attempt;
ALTER TABLE gateway_events VALIDATE CONSTRAINT gateway_events_from_state;
ALTER TABLE gateway_events VALIDATE CONSTRAINT gateway_events_to_state;
ALTER TABLE gateway_events VALIDATE CONSTRAINT gateway_events_reason_is_whole;
ALTER TABLE gateway_events VALIDATE CONSTRAINT gateway_events_attempt_not_negative;
ALTER TABLE gateway_trials VALIDATE CONSTRAINT gateway_trials_url_scheme;
ALTER TABLE gateway_trials VALIDATE CONSTRAINT gateway_trials_url_length;
ALTER TABLE gateways VALIDATE CONSTRAINT gateways_url_scheme;
ALTER TABLE gateways VALIDATE CONSTRAINT gateways_url_length;

-- migrate:down

-- Nothing: a valid constraint is none the worse for being older.
SELECT 1;
