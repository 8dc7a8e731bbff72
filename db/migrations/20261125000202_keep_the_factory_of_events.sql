-- migrate:up

-- This writes every row of gateway_events anew, and locks it as long as that takes: some seconds for a million.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion, adding-not-nullable-field

-- A transition belongs to the factory where it happened, wherever its gateway moves afterwards. What is there
-- already is of the factory where its gateway is now. There is no foreign key: the value is read from gateways,
-- which has one.
ALTER TABLE gateway_events ADD COLUMN factory_id uuid;
UPDATE gateway_events AS e SET factory_id = g.factory_id FROM gateways AS g WHERE e.gateway_id = g.id;
ALTER TABLE gateway_events ALTER COLUMN factory_id SET NOT NULL;

CREATE INDEX gateway_events_factory_id_written_by_id_idx ON gateway_events (factory_id, written_by, id);

-- Whoever writes a transition need not know: also a worker that is older than this column.
CREATE FUNCTION fill_factory_of_event() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.factory_id := (SELECT factory_id FROM gateways WHERE id = NEW.gateway_id);
    RETURN NEW;
END;
$$;

CREATE TRIGGER gateway_events_fill_factory
BEFORE INSERT ON gateway_events
FOR EACH ROW WHEN (NEW.factory_id IS NULL) EXECUTE FUNCTION fill_factory_of_event();

-- migrate:down

DROP TRIGGER gateway_events_fill_factory ON gateway_events;
DROP FUNCTION fill_factory_of_event();
DROP INDEX gateway_events_factory_id_written_by_id_idx;
-- squawk-ignore ban-drop-column
ALTER TABLE gateway_events DROP COLUMN factory_id;
