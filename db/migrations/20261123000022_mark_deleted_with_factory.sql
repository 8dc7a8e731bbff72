-- migrate:up

-- Which gateways went with their factory, and come back with it.
ALTER TABLE gateways ADD COLUMN deleted_with_factory boolean NOT NULL DEFAULT FALSE;
ALTER TABLE gateways ADD CONSTRAINT gateways_deleted_with_factory_is_deleted
CHECK (deleted_at IS NOT NULL OR NOT deleted_with_factory) NOT VALID;
-- Few rows: a second at 100,000.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE gateways VALIDATE CONSTRAINT gateways_deleted_with_factory_is_deleted;

-- A factory and its gateways are deleted in one transaction, at one time.
UPDATE gateways AS g SET deleted_with_factory = TRUE
FROM factories AS f
WHERE g.factory_id = f.id AND g.deleted_at = f.deleted_at;

-- migrate:down

-- squawk-ignore ban-drop-constraint
ALTER TABLE gateways DROP CONSTRAINT gateways_deleted_with_factory_is_deleted;
-- squawk-ignore ban-drop-column
ALTER TABLE gateways DROP COLUMN deleted_with_factory;
