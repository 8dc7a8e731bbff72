-- migrate:up

-- Both tables are small and have few rows of the past: they are locked for a fraction of a second.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion

SET LOCAL lock_timeout = '2s';

-- The holder of a gateway is one registration of a worker: a worker_id with the epoch of another one is no holder, and
-- what it reports would be refused for ever.
-- squawk-ignore disallowed-unique-constraint, constraint-missing-not-valid
ALTER TABLE workers ADD CONSTRAINT workers_id_epoch_key UNIQUE (id, epoch);

ALTER TABLE gateway_connections
ADD CONSTRAINT gateway_connections_worker_id_epoch_fkey
FOREIGN KEY (worker_id, epoch) REFERENCES workers (id, epoch) NOT VALID,
DROP CONSTRAINT gateway_connections_worker_id_fkey;

-- What a worker holds; and for the foreign key.
CREATE INDEX gateway_connections_worker_id_epoch_idx ON gateway_connections (worker_id, epoch);
DROP INDEX gateway_connections_worker_id_idx;

ALTER TABLE gateway_connections
-- They count from 0, and only ever rise, but for the rejections in a row.
ADD CONSTRAINT gateway_connections_connects_not_negative CHECK (connects >= 0) NOT VALID,
ADD CONSTRAINT gateway_connections_messages_received_not_negative CHECK (messages_received >= 0) NOT VALID,
ADD CONSTRAINT gateway_connections_rejected_logins_not_negative CHECK (rejected_logins >= 0) NOT VALID,
-- Whoever waits for the next attempt is told its time, and nobody is told one while an attempt or a session is under
-- way. A gateway in the queue may have one: it is called sooner when others of its site are back.
ADD CONSTRAINT gateway_connections_waiting_has_next_attempt CHECK (
    CASE
        WHEN state IN ('retrying', 'auth_failed') THEN next_attempt_at IS NOT NULL
        ELSE next_attempt_at IS NULL OR state = 'disconnected'
    END
) NOT VALID;

-- migrate:down

ALTER TABLE gateway_connections
DROP CONSTRAINT gateway_connections_waiting_has_next_attempt,
DROP CONSTRAINT gateway_connections_rejected_logins_not_negative,
DROP CONSTRAINT gateway_connections_messages_received_not_negative,
DROP CONSTRAINT gateway_connections_connects_not_negative;
CREATE INDEX gateway_connections_worker_id_idx ON gateway_connections (worker_id);
DROP INDEX gateway_connections_worker_id_epoch_idx;
ALTER TABLE gateway_connections
DROP CONSTRAINT gateway_connections_worker_id_epoch_fkey,
-- squawk-ignore adding-foreign-key-constraint, constraint-missing-not-valid
ADD CONSTRAINT gateway_connections_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES workers (id);
ALTER TABLE workers DROP CONSTRAINT workers_id_epoch_key;
