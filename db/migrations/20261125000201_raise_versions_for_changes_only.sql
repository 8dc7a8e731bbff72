-- migrate:up

SET LOCAL lock_timeout = '2s';

-- A write that changes nothing raises no version and no updated_at: whoever read the row before has read it as it
-- is. Rows are compared as they are stored (*<>): jsonb is equal for 1 and 1.0, which are not shown the same.
CREATE OR REPLACE FUNCTION raise_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW *<> OLD THEN
        NEW.version := OLD.version + 1;
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END;
$$;

DROP TRIGGER factories_set_updated_at ON factories;

-- That somebody asked for an attempt is no change to a gateway. What is generated is not there yet in NEW.
CREATE FUNCTION raise_gateway_version() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    compared gateways := NEW;
BEGIN
    compared.connect_requested_at := OLD.connect_requested_at;
    compared.written_by := OLD.written_by;
    IF compared *<> OLD THEN
        NEW.version := OLD.version + 1;
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END;
$$;

DROP TRIGGER gateways_raise_version ON gateways;
CREATE TRIGGER gateways_raise_version
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION raise_gateway_version();

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

-- migrate:down

CREATE OR REPLACE FUNCTION raise_gateway_generation() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    IF (NEW.url, NEW.email, NEW.sealed_password, NEW.desired_state, NEW.deleted_at)
        IS DISTINCT FROM (OLD.url, OLD.email, OLD.sealed_password, OLD.desired_state, OLD.deleted_at)
    THEN
        NEW.generation := OLD.generation + 1;
    END IF;
    RETURN NEW;
END;
$$;
DROP TRIGGER gateways_raise_version ON gateways;
CREATE OR REPLACE FUNCTION raise_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END;
$$;
CREATE TRIGGER gateways_raise_version
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER factories_set_updated_at
BEFORE UPDATE ON factories
FOR EACH ROW EXECUTE FUNCTION set_updated_at();
DROP FUNCTION raise_gateway_version();
