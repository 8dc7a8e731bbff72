-- migrate:up

-- Keeps updated_at true, also for rows that are changed by hand.
CREATE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END;
$$;

CREATE TABLE organizations (
    id uuid NOT NULL DEFAULT uuidv7(),
    name text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT organizations_pkey PRIMARY KEY (id),
    CONSTRAINT organizations_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT organizations_metadata_is_object CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE TRIGGER organizations_set_updated_at
BEFORE UPDATE ON organizations
FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- The one organization that factories belong to unless they say otherwise.
INSERT INTO organizations (id, name)
VALUES ('00000000-0000-7000-8000-000000000001', 'Default organization');

-- migrate:down

DROP TABLE organizations;
DROP FUNCTION set_updated_at();
