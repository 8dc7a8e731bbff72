-- migrate:up

-- The number of gateways that are not deleted, in each factory and in all (the factory of zeros), as a sharded counter:
-- the sum of the rows of a factory. A writer updates a row that nobody else is updating, or adds one, so that writers
-- never wait for each other; there are as many rows as there were writers at once. To count the gateways themselves
-- would take several times as long as to read a page of them.
CREATE TABLE gateway_counts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    factory_id uuid NOT NULL,
    gateways bigint NOT NULL
) WITH (fillfactor = 50);

-- The rows of a factory.
CREATE INDEX gateway_counts_factory_id_idx ON gateway_counts (factory_id);

CREATE FUNCTION add_to_gateway_count(of_factory uuid, more bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    free bigint;
BEGIN
    SELECT id INTO free FROM gateway_counts WHERE factory_id = of_factory LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE gateway_counts SET gateways = gateways + more WHERE id = free;
    ELSE
        INSERT INTO gateway_counts (factory_id, gateways) VALUES (of_factory, more);
    END IF;
END;
$$;

CREATE FUNCTION add_to_gateway_counts(of_factory uuid, more bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_gateway_count(of_factory, more);
    PERFORM add_to_gateway_count('00000000-0000-0000-0000-000000000000', more);
END;
$$;

CREATE FUNCTION count_created_gateways() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_gateway_counts(factory_id, count(*))
    FROM created WHERE deleted_at IS NULL GROUP BY factory_id;
    RETURN NULL;
END;
$$;

CREATE FUNCTION count_removed_gateways() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_gateway_counts(factory_id, -count(*))
    FROM removed WHERE deleted_at IS NULL GROUP BY factory_id;
    RETURN NULL;
END;
$$;

CREATE FUNCTION count_changed_gateway() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.deleted_at IS NULL THEN
        PERFORM add_to_gateway_counts(OLD.factory_id, -1);
    END IF;
    IF NEW.deleted_at IS NULL THEN
        PERFORM add_to_gateway_counts(NEW.factory_id, 1);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION count_no_gateways() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE gateway_counts;
    RETURN NULL;
END;
$$;

-- Whoever writes gateways, and however, the count is exact.
CREATE TRIGGER gateways_count_created
AFTER INSERT ON gateways REFERENCING NEW TABLE AS created
FOR EACH STATEMENT EXECUTE FUNCTION count_created_gateways();

CREATE TRIGGER gateways_count_removed
AFTER DELETE ON gateways REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION count_removed_gateways();

CREATE TRIGGER gateways_count_changed
AFTER UPDATE ON gateways
FOR EACH ROW
WHEN (
    (OLD.deleted_at IS NULL, OLD.factory_id) IS DISTINCT FROM (NEW.deleted_at IS NULL, NEW.factory_id)
)
EXECUTE FUNCTION count_changed_gateway();

CREATE TRIGGER gateways_count_none
AFTER TRUNCATE ON gateways
FOR EACH STATEMENT EXECUTE FUNCTION count_no_gateways();

-- Also for sessions that load data with triggers switched off (session_replication_role).
ALTER TABLE gateways ENABLE ALWAYS TRIGGER gateways_count_created;
ALTER TABLE gateways ENABLE ALWAYS TRIGGER gateways_count_removed;
ALTER TABLE gateways ENABLE ALWAYS TRIGGER gateways_count_changed;
ALTER TABLE gateways ENABLE ALWAYS TRIGGER gateways_count_none;

-- There is no gateway yet.
INSERT INTO gateway_counts (factory_id, gateways) VALUES ('00000000-0000-0000-0000-000000000000', 0);

-- migrate:down

DROP TRIGGER gateways_count_created ON gateways;
DROP TRIGGER gateways_count_removed ON gateways;
DROP TRIGGER gateways_count_changed ON gateways;
DROP TRIGGER gateways_count_none ON gateways;
DROP FUNCTION count_created_gateways();
DROP FUNCTION count_removed_gateways();
DROP FUNCTION count_changed_gateway();
DROP FUNCTION count_no_gateways();
DROP FUNCTION add_to_gateway_counts(uuid, bigint);
DROP FUNCTION add_to_gateway_count(uuid, bigint);
DROP TABLE gateway_counts;
