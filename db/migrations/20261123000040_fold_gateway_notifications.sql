-- migrate:up

-- All that anybody does on hearing of a change is look. PostgreSQL sends equal notifications of a transaction
-- once, so that one which changes thousands of gateways wakes everyone once, not thousands of times.
CREATE OR REPLACE FUNCTION notify_gateways_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY gateways_changed;
    RETURN NULL;
END;
$$;

-- migrate:down

CREATE OR REPLACE FUNCTION notify_gateways_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gateways_changed', NEW.id::text);
    RETURN NULL;
END;
$$;
