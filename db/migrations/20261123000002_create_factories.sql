-- migrate:up

CREATE TABLE factories (
    id uuid NOT NULL DEFAULT uuidv7(),
    organization_id uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000001',
    name text NOT NULL,
    location text,
    timezone text NOT NULL DEFAULT 'UTC',
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT factories_pkey PRIMARY KEY (id),
    CONSTRAINT factories_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT factories_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT factories_location_length CHECK (char_length(location) BETWEEN 1 AND 500),
    CONSTRAINT factories_timezone_length CHECK (char_length(timezone) BETWEEN 1 AND 100),
    CONSTRAINT factories_metadata_is_object CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE INDEX factories_organization_id_idx ON factories (organization_id);

-- The order of every list of factories, so that a page is read from the index.
CREATE INDEX factories_live_name_id_idx ON factories (name, id) WHERE deleted_at IS NULL;

CREATE TRIGGER factories_set_updated_at
BEFORE UPDATE ON factories
FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- migrate:down

DROP TABLE factories;
