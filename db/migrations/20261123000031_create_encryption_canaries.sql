-- migrate:up

-- A known text, sealed with each key in use: a process that starts with another key finds out at once.
CREATE TABLE encryption_canaries (
    key_id text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT encryption_canaries_pkey PRIMARY KEY (key_id),
    -- The form that key_id_of returns: a key id in any other form would match no password.
    CONSTRAINT encryption_canaries_key_id CHECK (key_id ~ '^[0-9a-f]{16}$')
);

-- The id of the key that a password was sealed with: 8 bytes after the version (service/crypto.py).
CREATE FUNCTION key_id_of(sealed bytea) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN encode(substring(sealed FROM 2 FOR 8), 'hex');

-- A key whose canary was removed seals nothing any more. The canary's row is locked, so that it cannot be removed
-- before this password is visible. (Before the first process started there is no canary.)
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

-- A process with a key that was retired while it ran cannot store what nobody would be able to open…
CREATE TRIGGER gateways_refuse_retired_key
AFTER INSERT ON gateways
FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();

-- … and other changes of a gateway do not ask for the key.
CREATE TRIGGER gateways_refuse_retired_key_later
AFTER UPDATE ON gateways
FOR EACH ROW
WHEN (OLD.sealed_password IS DISTINCT FROM NEW.sealed_password)
EXECUTE FUNCTION refuse_retired_key();

-- Sealing the same password with another key is no change of a gateway: no session has to log in again, and nothing
-- that clients read is out of date. A transaction that does so sets seals_anew. Under it nothing but the seal changes,
-- whatever the statement and the other triggers say.
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

-- Triggers of a kind fire in the order of their names: this one has to come after all that change the row.
CREATE TRIGGER gateways_undo_all_but_the_seal
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION undo_all_but_the_seal();

-- migrate:down

DROP TRIGGER gateways_undo_all_but_the_seal ON gateways;
DROP FUNCTION undo_all_but_the_seal();
DROP TRIGGER gateways_refuse_retired_key_later ON gateways;
DROP TRIGGER gateways_refuse_retired_key ON gateways;
DROP FUNCTION refuse_retired_key();
DROP FUNCTION key_id_of(bytea);
DROP TABLE encryption_canaries;
