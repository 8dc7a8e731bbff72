-- migrate:up

-- For every table that has updated_at: the column is true whoever writes the row, SQL by hand included.
CREATE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END;
$$;

-- For the tables whose rows the API returns with an ETag, which is made of the version: If-Match is compared with it.
CREATE FUNCTION raise_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END;
$$;

-- A time in UTC as RFC 3339 writes it, for JSON that PostgreSQL renders. It is a single expression, so that PostgreSQL
-- inlines it, and it relies on the date style ISO, which the service's sessions set.
CREATE FUNCTION rfc3339(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN replace((at AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z';

CREATE TABLE organizations (
    id uuid NOT NULL DEFAULT uuidv7(),
    name text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT organizations_pkey PRIMARY KEY (id),
    -- A name can be shown, and fits in an index.
    CONSTRAINT organizations_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    -- An object, as in the other tables.
    CONSTRAINT organizations_metadata_is_object CHECK (jsonb_typeof(metadata) = 'object')
);

-- Also when a row is changed by hand.
CREATE TRIGGER organizations_set_updated_at
BEFORE UPDATE ON organizations
FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- The one organization, which factories belong to by default.
INSERT INTO organizations (id, name)
VALUES ('00000000-0000-7000-8000-000000000001', 'Default organization');

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
    -- The number of changes of the row: its ETag.
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT factories_pkey PRIMARY KEY (id),
    -- A factory belongs to an organization that exists.
    CONSTRAINT factories_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (id),
    -- The limits that the API documents; a text that is not given is NULL, never empty.
    CONSTRAINT factories_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT factories_location_length CHECK (char_length(location) BETWEEN 1 AND 500),
    CONSTRAINT factories_timezone_length CHECK (char_length(timezone) BETWEEN 1 AND 100),
    -- The API promises an object.
    CONSTRAINT factories_metadata_is_object CHECK (jsonb_typeof(metadata) = 'object')
);

-- For the foreign key.
CREATE INDEX factories_organization_id_idx ON factories (organization_id);

-- The orders of the list of factories: a page is read from the index.
CREATE INDEX factories_live_name_id_idx ON factories (name, id) WHERE deleted_at IS NULL;
CREATE INDEX factories_live_created_at_id_idx ON factories (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX factories_deleted_name_id_idx ON factories (name, id) WHERE deleted_at IS NOT NULL;

-- Also when a row is changed by hand.
CREATE TRIGGER factories_set_updated_at
BEFORE UPDATE ON factories
FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- Every change makes a new ETag.
CREATE TRIGGER factories_raise_version
BEFORE UPDATE ON factories
FOR EACH ROW EXECUTE FUNCTION raise_version();

-- migrate:down

DROP TABLE factories;
DROP TABLE organizations;
DROP FUNCTION rfc3339(timestamptz);
DROP FUNCTION raise_version();
DROP FUNCTION set_updated_at();
