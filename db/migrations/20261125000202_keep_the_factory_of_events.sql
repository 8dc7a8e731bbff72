-- migrate:up

SET LOCAL lock_timeout = '2s';

-- A transition belongs to the factory where it happened, wherever its gateway moves afterwards. One from before this
-- migration names none: until it is pruned it counts to the factory where its gateway is, as it did before. To fill
-- it in would be to write the whole history anew. There is no foreign key: the value is read from gateways, which
-- has one.
ALTER TABLE gateway_events ADD COLUMN factory_id uuid;

-- Whoever writes a transition need not know: also a worker that is older than this column. Such a worker also writes
-- what gateways said of a refusal, which may quote the password, and goes here as it does in what is stored
-- (20261125000401).
CREATE FUNCTION complete_event() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.factory_id := (SELECT factory_id FROM gateways WHERE id = NEW.gateway_id);
    IF NEW.reason_code IN ('login_rejected', 'subscribe_rejected')
        AND NEW.reason_message LIKE 'The gateway rejected the %:%'
    THEN
        NEW.reason_message := split_part(NEW.reason_message, ':', 1) || '.';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER gateway_events_complete
BEFORE INSERT ON gateway_events
FOR EACH ROW WHEN (NEW.factory_id IS NULL) EXECUTE FUNCTION complete_event();

-- migrate:down

DROP TRIGGER gateway_events_complete ON gateway_events;
DROP FUNCTION complete_event();
ALTER TABLE gateway_events DROP COLUMN factory_id;
