-- migrate:up

SET LOCAL lock_timeout = '2s';

-- A password that a change of url took along to a host which it was not given for: workers send it only to
-- addresses within GATEWAY_NETWORKS_ALLOWED, whatever the host's name stands for at that moment.
ALTER TABLE gateways ADD COLUMN password_is_confined boolean NOT NULL DEFAULT FALSE;
ALTER TABLE gateway_trials ADD COLUMN password_is_confined boolean NOT NULL DEFAULT FALSE;

CREATE OR REPLACE FUNCTION raise_gateway_generation() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (
        NEW.url, NEW.email, NEW.sealed_password, NEW.password_is_confined, NEW.desired_state, NEW.deleted_at
    ) IS DISTINCT FROM (
        OLD.url, OLD.email, OLD.sealed_password, OLD.password_is_confined, OLD.desired_state, OLD.deleted_at
    )
    THEN
        NEW.generation := OLD.generation + 1;
    END IF;
    RETURN NEW;
END;
$$;

-- migrate:down

-- Older versions would send these passwords anywhere: whoever connects such a gateway again decides about it anew.
DELETE FROM gateway_trials WHERE password_is_confined;
UPDATE gateways SET desired_state = 'disconnected' WHERE password_is_confined;

CREATE OR REPLACE FUNCTION raise_gateway_generation() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.url, NEW.email, NEW.sealed_password, NEW.desired_state, NEW.deleted_at)
        IS DISTINCT FROM (OLD.url, OLD.email, OLD.sealed_password, OLD.desired_state, OLD.deleted_at)
    THEN
        NEW.generation := OLD.generation + 1;
    END IF;
    RETURN NEW;
END;
$$;

-- squawk-ignore ban-drop-column
ALTER TABLE gateway_trials DROP COLUMN password_is_confined;
-- squawk-ignore ban-drop-column
ALTER TABLE gateways DROP COLUMN password_is_confined;
