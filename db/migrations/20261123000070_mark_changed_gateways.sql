-- migrate:up

-- This rewrites gateways and locks it as long as that takes: a second or two for 100,000.
-- squawk-ignore-file adding-field-with-default, require-concurrent-index-creation
-- squawk-ignore-file require-concurrent-index-deletion

-- The transaction that wrote a gateway last: so that workers read what changed, and not all that they hold, again
-- and again. Generated for the reason that gateway_events.written_by is: what is restored elsewhere was written
-- there, by the transaction that restored it.
ALTER TABLE gateways
ADD COLUMN written_by xid8 NOT NULL GENERATED ALWAYS AS (writing_transaction(version)) STORED;

CREATE INDEX gateways_written_by_idx ON gateways (written_by);

-- migrate:down

DROP INDEX gateways_written_by_idx;
-- squawk-ignore ban-drop-column
ALTER TABLE gateways DROP COLUMN written_by;
