-- migrate:up

-- Sealing the same password anew, with another key, is no change to a gateway: nobody has to log in again for
-- it, and nothing that anybody read of it is out of date. Whoever does that says so with this setting, in its
-- transaction. Under it nothing but the seal changes, whatever the statement and other triggers say.
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

-- Triggers of a kind fire in the order of their names: this one has to come behind all that change a row.
CREATE TRIGGER gateways_undo_all_but_the_seal
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION undo_all_but_the_seal();

-- The id of the key that a password was sealed with: behind the version, 8 bytes (service/crypto.py).
CREATE FUNCTION key_id_of(sealed bytea) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN encode(substring(sealed FROM 2 FOR 8), 'hex');

-- A key whose canary was taken away seals nothing any more. The canary's row is locked, so that it can not be
-- taken away before this password is there to be seen. (Before the first process started there is no canary.)
CREATE FUNCTION refuse_retired_key() RETURNS trigger
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

-- migrate:down

DROP TRIGGER gateways_refuse_retired_key_later ON gateways;
DROP TRIGGER gateways_refuse_retired_key ON gateways;
DROP FUNCTION refuse_retired_key();
DROP FUNCTION key_id_of(bytea);
DROP TRIGGER gateways_undo_all_but_the_seal ON gateways;
DROP FUNCTION undo_all_but_the_seal();
