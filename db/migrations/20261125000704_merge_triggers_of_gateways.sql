-- migrate:up

-- upgrade: contract
-- What it drops is called by triggers of the schema alone.

SET LOCAL lock_timeout = '2s';

-- One function for all that an UPDATE does to its row: a call per row, not three, and an order that is written down
-- rather than given by the names of triggers.
CREATE FUNCTION bump_gateway_versions() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    compared gateways;
BEGIN
    -- Sealing the same password with another key is no change of a gateway. Nothing else changes with it, whatever the
    -- statement says.
    IF current_setting('millgate.seals_anew', TRUE) = 'yes' THEN
        compared := NEW;
        NEW := OLD;
        NEW.sealed_password := compared.sealed_password;
        RETURN NEW;
    END IF;
    -- What sessions are opened with.
    IF (
        NEW.url, NEW.email, NEW.sealed_password, NEW.password_is_confined, NEW.desired_state, NEW.deleted_at
    ) IS DISTINCT FROM (
        OLD.url, OLD.email, OLD.sealed_password, OLD.password_is_confined, OLD.desired_state, OLD.deleted_at
    )
    THEN
        NEW.generation := OLD.generation + 1;
    END IF;
    -- What clients read. That somebody asked for an attempt is no change; what is generated is not there yet in NEW.
    compared := NEW;
    compared.connect_requested_at := OLD.connect_requested_at;
    compared.written_by := OLD.written_by;
    IF compared *<> OLD THEN
        NEW.version := OLD.version + 1;
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END;
$$;

DROP TRIGGER gateways_raise_generation ON gateways;
DROP TRIGGER gateways_raise_version ON gateways;
DROP TRIGGER gateways_undo_all_but_the_seal ON gateways;
DROP FUNCTION raise_gateway_generation();
DROP FUNCTION raise_gateway_version();
DROP FUNCTION undo_all_but_the_seal();

-- Whoever writes a gateway, its ETag and its sessions follow. It also has written_by follow every UPDATE: PostgreSQL
-- computes a generated column again if one that it names changes, or if the table has a BEFORE ROW trigger.
CREATE TRIGGER gateways_bump_versions
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION bump_gateway_versions();

-- From here on, the conditions of UPDATE are in the functions: a trigger for INSERT OR UPDATE cannot name OLD.
CREATE OR REPLACE FUNCTION notify_gateways_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.generation = OLD.generation
        AND NEW.connect_requested_at = OLD.connect_requested_at
    THEN
        RETURN NULL;
    END IF;
    IF current_setting('millgate.tells_later', TRUE) = 'on' THEN
        RETURN NULL;
    END IF;
    NOTIFY gateways_changed;
    RETURN NULL;
END;
$$;

DROP TRIGGER gateways_notify_created ON gateways;
DROP TRIGGER gateways_notify_changed ON gateways;
CREATE TRIGGER gateways_notify_changed
AFTER INSERT OR UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION notify_gateways_changed();

CREATE OR REPLACE FUNCTION refuse_retired_key() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    wanted text;
    is_first boolean;
    is_there boolean;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.sealed_password = OLD.sealed_password THEN
        RETURN NULL;
    END IF;
    wanted := key_id_of(NEW.sealed_password);
    LOOP
        PERFORM FROM encryption_canaries WHERE key_id = wanted FOR KEY SHARE;
        EXIT WHEN FOUND;
        -- One statement, one snapshot: the first process may be leaving its canary at this moment.
        SELECT count(*) = 0, coalesce(bool_or(key_id = wanted), FALSE)
        INTO is_first, is_there
        FROM encryption_canaries;
        EXIT WHEN is_first;
        IF NOT is_there THEN
            RAISE EXCEPTION 'the password was sealed with a key that is not in use'
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'gateways_sealed_with_key_in_use';
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;

DROP TRIGGER gateways_refuse_retired_key ON gateways;
DROP TRIGGER gateways_refuse_retired_key_later ON gateways;
CREATE TRIGGER gateways_refuse_retired_key
AFTER INSERT OR UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();

CREATE OR REPLACE FUNCTION remember_gateway_wish() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    is_wanted CONSTANT boolean := NEW.deleted_at IS NULL AND NEW.desired_state = 'connected';
BEGIN
    IF TG_OP = 'UPDATE' AND is_wanted = (OLD.deleted_at IS NULL AND OLD.desired_state = 'connected') THEN
        RETURN NULL;
    END IF;
    INSERT INTO gateway_wishes (gateway_id, at, is_wanted)
    VALUES (
        NEW.id, CASE WHEN TG_OP = 'INSERT' THEN NEW.created_at ELSE clock_timestamp() END, is_wanted
    );
    RETURN NULL;
END;
$$;

DROP TRIGGER gateways_remember_first_wish ON gateways;
DROP TRIGGER gateways_remember_wish ON gateways;
CREATE TRIGGER gateways_remember_wish
AFTER INSERT OR UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION remember_gateway_wish();

-- migrate:down

DROP TRIGGER gateways_remember_wish ON gateways;
CREATE OR REPLACE FUNCTION remember_gateway_wish() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gateway_wishes (gateway_id, at, is_wanted)
    VALUES (
        NEW.id,
        CASE WHEN TG_OP = 'INSERT' THEN NEW.created_at ELSE clock_timestamp() END,
        NEW.deleted_at IS NULL AND NEW.desired_state = 'connected'
    );
    RETURN NULL;
END;
$$;

CREATE TRIGGER gateways_remember_first_wish
AFTER INSERT ON gateways
FOR EACH ROW EXECUTE FUNCTION remember_gateway_wish();
CREATE TRIGGER gateways_remember_wish
AFTER UPDATE ON gateways
FOR EACH ROW
WHEN (
    (OLD.deleted_at IS NULL AND OLD.desired_state = 'connected')
    IS DISTINCT FROM (NEW.deleted_at IS NULL AND NEW.desired_state = 'connected')
)
EXECUTE FUNCTION remember_gateway_wish();

DROP TRIGGER gateways_refuse_retired_key ON gateways;
CREATE OR REPLACE FUNCTION refuse_retired_key() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    wanted text := key_id_of(NEW.sealed_password);
    is_first boolean;
    is_there boolean;
BEGIN
    LOOP
        PERFORM FROM encryption_canaries WHERE key_id = wanted FOR KEY SHARE;
        EXIT WHEN FOUND;
        -- One statement, one snapshot: the first process may be leaving its canary at this moment.
        SELECT count(*) = 0, coalesce(bool_or(key_id = wanted), FALSE)
        INTO is_first, is_there
        FROM encryption_canaries;
        EXIT WHEN is_first;
        IF NOT is_there THEN
            RAISE EXCEPTION 'the password was sealed with a key that is not in use'
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'gateways_sealed_with_key_in_use';
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;

CREATE TRIGGER gateways_refuse_retired_key
AFTER INSERT ON gateways
FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER gateways_refuse_retired_key_later
AFTER UPDATE ON gateways
FOR EACH ROW
WHEN (OLD.sealed_password IS DISTINCT FROM NEW.sealed_password)
EXECUTE FUNCTION refuse_retired_key();

DROP TRIGGER gateways_notify_changed ON gateways;
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

CREATE TRIGGER gateways_notify_created
AFTER INSERT ON gateways
FOR EACH ROW EXECUTE FUNCTION notify_gateways_changed();
CREATE TRIGGER gateways_notify_changed
AFTER UPDATE ON gateways
FOR EACH ROW
WHEN (
    OLD.generation IS DISTINCT FROM NEW.generation
    OR OLD.connect_requested_at IS DISTINCT FROM NEW.connect_requested_at
)
EXECUTE FUNCTION notify_gateways_changed();

DROP TRIGGER gateways_bump_versions ON gateways;
DROP FUNCTION bump_gateway_versions();
CREATE FUNCTION raise_gateway_generation() RETURNS trigger
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

CREATE FUNCTION undo_all_but_the_seal() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    sealed_anew bytea := NEW.sealed_password;
BEGIN
    IF current_setting('millgate.seals_anew', TRUE) = 'yes' THEN
        NEW := OLD;
        NEW.sealed_password := sealed_anew;
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER gateways_raise_generation
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION raise_gateway_generation();
CREATE TRIGGER gateways_raise_version
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION raise_gateway_version();
CREATE TRIGGER gateways_undo_all_but_the_seal
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION undo_all_but_the_seal();
