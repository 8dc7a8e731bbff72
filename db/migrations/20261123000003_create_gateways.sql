-- migrate:up

-- The transaction that wrote a row. Readers follow a table by it: all transactions below the oldest that still runs
-- have ended, so rows read in its order have no gap, whichever transaction commits first, and no clock is involved.
--
-- It is declared IMMUTABLE, which it is not, so that a generated column may call it, and a column is generated because
-- pg_dump leaves generated columns out: a row that is restored elsewhere is written there, by the restoring
-- transaction, and the number of its first one would mean nothing. The argument only ties the column to a base column.
--
-- An UPDATE recomputes a stored generated column if it changes a base column, or if the table has a BEFORE ROW trigger,
-- since that might. gateways has one, so an UPDATE of the name alone counts as well.
CREATE FUNCTION writing_transaction(bigint) RETURNS xid8
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN pg_current_xact_id();
END;
$$;

-- Desired state: written by the API alone.
CREATE TABLE gateways (
    id uuid NOT NULL DEFAULT uuidv7(),
    factory_id uuid NOT NULL,
    -- The identifier on the device.
    gateway_id text NOT NULL,
    name text NOT NULL,
    model text,
    firmware_version text,
    url text NOT NULL,
    email text NOT NULL,
    sealed_password bytea NOT NULL,
    desired_state text NOT NULL DEFAULT 'connected',
    -- A new time asks for an attempt at once.
    connect_requested_at timestamptz NOT NULL DEFAULT now(),
    -- The number of changes that sessions depend on.
    generation bigint NOT NULL DEFAULT 1,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    -- The number of all changes of the row: its ETag.
    version bigint NOT NULL DEFAULT 1,
    -- Restoring the factory restores these, and no gateway that was deleted by itself.
    deleted_with_factory boolean NOT NULL DEFAULT FALSE,
    -- Workers poll for rows above the last one that they know, rather than reading all that they hold.
    written_by xid8 NOT NULL GENERATED ALWAYS AS (writing_transaction(version)) STORED,
    CONSTRAINT gateways_pkey PRIMARY KEY (id),
    -- A gateway belongs to a factory that exists.
    CONSTRAINT gateways_factory_id_fkey FOREIGN KEY (factory_id) REFERENCES factories (id),
    -- The limits that the API documents; a text that is not given is NULL, never empty.
    CONSTRAINT gateways_gateway_id_length CHECK (char_length(gateway_id) BETWEEN 1 AND 100),
    CONSTRAINT gateways_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT gateways_model_length CHECK (char_length(model) BETWEEN 1 AND 100),
    CONSTRAINT gateways_firmware_version_length CHECK (char_length(firmware_version) BETWEEN 1 AND 100),
    CONSTRAINT gateways_email_length CHECK (char_length(email) BETWEEN 1 AND 320),
    -- Workers speak WebSocket only.
    CONSTRAINT gateways_url_scheme CHECK (url ~ '^wss?://' AND char_length(url) <= 2000),
    -- Never a plain password: version 1 byte, key id 8, nonce 12, at least one character, tag 16.
    CONSTRAINT gateways_sealed_password_length CHECK (octet_length(sealed_password) BETWEEN 38 AND 4133),
    -- Any other value would be neither connected nor disconnected by a worker.
    CONSTRAINT gateways_desired_state CHECK (desired_state IN ('connected', 'disconnected')),
    -- It begins at 1 and only rises.
    CONSTRAINT gateways_generation_positive CHECK (generation > 0),
    -- The API promises an object.
    CONSTRAINT gateways_metadata_is_object CHECK (jsonb_typeof(metadata) = 'object'),
    -- A gateway that is not deleted did not go with its factory.
    CONSTRAINT gateways_deleted_with_factory_is_deleted CHECK (deleted_at IS NOT NULL OR NOT deleted_with_factory)
);

-- A device is registered once; deleting the registration frees its identifier.
CREATE UNIQUE INDEX gateways_live_gateway_id_key ON gateways (gateway_id) WHERE deleted_at IS NULL;

-- For the foreign key, which deleted gateways have too.
CREATE INDEX gateways_factory_id_idx ON gateways (factory_id);

-- The orders of the lists, and their filters: a page is read from the index. The gateways of a factory are few enough
-- to be sorted, but for the default order.
CREATE INDEX gateways_live_name_id_idx ON gateways (name, id) WHERE deleted_at IS NULL;
CREATE INDEX gateways_live_factory_id_name_id_idx ON gateways (factory_id, name, id) WHERE deleted_at IS NULL;
CREATE INDEX gateways_live_created_at_id_idx ON gateways (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX gateways_live_desired_state_name_id_idx ON gateways (desired_state, name, id)
WHERE deleted_at IS NULL;
CREATE INDEX gateways_deleted_name_id_idx ON gateways (name, id) WHERE deleted_at IS NOT NULL;

-- All that a count by factory and state needs of a gateway: it reads the index alone.
CREATE INDEX gateways_live_factory_id_id_idx ON gateways (factory_id, id) WHERE deleted_at IS NULL;

-- What workers look for: gateways to hold, and gateways that changed.
CREATE INDEX gateways_active_id_idx ON gateways (id)
WHERE deleted_at IS NULL AND desired_state = 'connected';
CREATE INDEX gateways_written_by_idx ON gateways (written_by);

-- A new generation means that something which sessions are opened with has changed: workers open a new one.
CREATE FUNCTION raise_gateway_generation() RETURNS trigger
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

-- Whoever writes the row, a session never goes on with a login that is out of date.
CREATE TRIGGER gateways_raise_generation
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION raise_gateway_generation();

-- Every change makes a new ETag.
CREATE TRIGGER gateways_raise_version
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION raise_version();

-- A hint for workers, which would find the change by themselves a little later. It names no gateway: PostgreSQL sends
-- equal notifications of a transaction once, so that one which changes thousands of gateways wakes everybody once.
--
-- NOTIFY takes a global lock from before the commit is on disk until after it, so that transactions which notify commit
-- one after the other. The API's sessions set tells_later, and notify after their commits, once for many.
CREATE FUNCTION notify_gateways_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('millgate.tells_later', TRUE) = 'on' THEN
        RETURN NULL;
    END IF;
    NOTIFY gateways_changed;
    RETURN NULL;
END;
$$;

-- A new gateway is connected within a second.
CREATE TRIGGER gateways_notify_created
AFTER INSERT ON gateways
FOR EACH ROW EXECUTE FUNCTION notify_gateways_changed();

-- So is one that changed, or that somebody asked an attempt for. Other changes do not concern workers.
CREATE TRIGGER gateways_notify_changed
AFTER UPDATE ON gateways
FOR EACH ROW
WHEN (
    OLD.generation IS DISTINCT FROM NEW.generation
    OR OLD.connect_requested_at IS DISTINCT FROM NEW.connect_requested_at
)
EXECUTE FUNCTION notify_gateways_changed();

-- migrate:down

DROP TABLE gateways;
DROP FUNCTION notify_gateways_changed();
DROP FUNCTION raise_gateway_generation();
DROP FUNCTION writing_transaction(bigint);
