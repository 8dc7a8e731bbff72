-- migrate:up

-- What should be. Written by the API only.
CREATE TABLE gateways (
    id uuid NOT NULL DEFAULT uuidv7(),
    factory_id uuid NOT NULL,
    gateway_id text NOT NULL,
    name text NOT NULL,
    model text,
    firmware_version text,
    url text NOT NULL,
    email text NOT NULL,
    sealed_password bytea NOT NULL,
    desired_state text NOT NULL DEFAULT 'connected',
    connect_requested_at timestamptz NOT NULL DEFAULT now(),
    generation bigint NOT NULL DEFAULT 1,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT gateways_pkey PRIMARY KEY (id),
    CONSTRAINT gateways_factory_id_fkey FOREIGN KEY (factory_id) REFERENCES factories (id),
    CONSTRAINT gateways_gateway_id_length CHECK (char_length(gateway_id) BETWEEN 1 AND 100),
    CONSTRAINT gateways_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT gateways_model_length CHECK (char_length(model) BETWEEN 1 AND 100),
    CONSTRAINT gateways_firmware_version_length CHECK (char_length(firmware_version) BETWEEN 1 AND 100),
    CONSTRAINT gateways_url_scheme CHECK (url ~ '^wss?://' AND char_length(url) <= 2000),
    CONSTRAINT gateways_email_length CHECK (char_length(email) BETWEEN 1 AND 320),
    -- version 1 byte, key id 8, nonce 12, at least one character, tag 16
    CONSTRAINT gateways_sealed_password_length CHECK (octet_length(sealed_password) BETWEEN 38 AND 4133),
    CONSTRAINT gateways_desired_state CHECK (desired_state IN ('connected', 'disconnected')),
    CONSTRAINT gateways_generation_positive CHECK (generation > 0),
    CONSTRAINT gateways_metadata_is_object CHECK (jsonb_typeof(metadata) = 'object')
);

-- A device is registered once; a deleted registration frees its identifier.
CREATE UNIQUE INDEX gateways_live_gateway_id_key ON gateways (gateway_id) WHERE deleted_at IS NULL;

CREATE INDEX gateways_factory_id_idx ON gateways (factory_id);

-- The orders of the two lists, so that a page is read from the index.
CREATE INDEX gateways_live_name_id_idx ON gateways (name, id) WHERE deleted_at IS NULL;
CREATE INDEX gateways_live_factory_id_name_id_idx ON gateways (factory_id, name, id) WHERE deleted_at IS NULL;

-- What workers look for.
CREATE INDEX gateways_active_id_idx ON gateways (id)
WHERE deleted_at IS NULL AND desired_state = 'connected';

-- A new generation means: what a session was opened with has changed.
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

CREATE TRIGGER gateways_raise_generation
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION raise_gateway_generation();

-- A hint for the workers; they find the change by themselves too, a little later.
CREATE FUNCTION notify_gateways_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gateways_changed', NEW.id::text);
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

-- migrate:down

DROP TABLE gateways;
DROP FUNCTION notify_gateways_changed();
DROP FUNCTION raise_gateway_generation();
