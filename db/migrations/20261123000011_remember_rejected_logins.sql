-- migrate:up

-- Logins in a row that the gateway rejected, and when the last was: so that the worker that holds a gateway
-- next does not begin to count anew.
ALTER TABLE gateway_connections
ADD COLUMN rejected_logins bigint NOT NULL DEFAULT 0,
ADD COLUMN last_rejected_at timestamptz;

-- migrate:down

ALTER TABLE gateway_connections DROP COLUMN rejected_logins, DROP COLUMN last_rejected_at;
