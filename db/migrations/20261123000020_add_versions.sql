-- migrate:up

-- Counts the changes of a row, whatever they are: what an ETag is made of, and If-Match is held against.
ALTER TABLE factories ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE gateways ADD COLUMN version bigint NOT NULL DEFAULT 1;

CREATE FUNCTION raise_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END;
$$;

CREATE TRIGGER factories_raise_version
BEFORE UPDATE ON factories
FOR EACH ROW EXECUTE FUNCTION raise_version();

CREATE TRIGGER gateways_raise_version
BEFORE UPDATE ON gateways
FOR EACH ROW EXECUTE FUNCTION raise_version();

-- migrate:down

DROP TRIGGER gateways_raise_version ON gateways;
DROP TRIGGER factories_raise_version ON factories;
DROP FUNCTION raise_version();
-- squawk-ignore ban-drop-column
ALTER TABLE gateways DROP COLUMN version;
-- squawk-ignore ban-drop-column
ALTER TABLE factories DROP COLUMN version;
