-- migrate:up

-- Whoever notifies holds, from before its commit is on the disk until after, a lock that all who notify take:
-- commits come one after the other, each with a wait for the disk of its own. The API's sessions say that they
-- tell later, and it does so after its commits, once for many. Whoever else writes is told of by the trigger.
CREATE OR REPLACE FUNCTION notify_gateways_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('millgate.tells_later', TRUE) = 'on' THEN
        RETURN NULL;
    END IF;
    NOTIFY gateways_changed;
    RETURN NULL;
END;
$$;

-- migrate:down

CREATE OR REPLACE FUNCTION notify_gateways_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY gateways_changed;
    RETURN NULL;
END;
$$;
