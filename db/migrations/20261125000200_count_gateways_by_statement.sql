-- migrate:up

-- upgrade: contract
-- What it drops is called by triggers of the schema alone.

SET LOCAL lock_timeout = '2s';

-- The number of gateways is kept once a statement, not once a row. A row of gateway_counts that one transaction
-- updates for each of its gateways leaves a dead version each time, and the next update passes by all of them:
-- to delete a factory of 10,000 took as long as the square of that number.
CREATE FUNCTION count_changed_gateways() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- The row of the grand total has no factory.
    PERFORM add_to_gateway_count(
        coalesce(factory_id, '00000000-0000-0000-0000-000000000000'), sum(more)::bigint
    )
    FROM (
        SELECT factory_id, -1 AS more FROM before WHERE deleted_at IS NULL
        UNION ALL
        SELECT factory_id, 1 FROM after WHERE deleted_at IS NULL
    ) AS changes
    GROUP BY ROLLUP (factory_id)
    HAVING sum(more) <> 0;
    RETURN NULL;
END;
$$;

DROP TRIGGER gateways_count_changed ON gateways;
CREATE TRIGGER gateways_count_changed
AFTER UPDATE ON gateways REFERENCING OLD TABLE AS before NEW TABLE AS after
FOR EACH STATEMENT EXECUTE FUNCTION count_changed_gateways();
-- Also for who loads data with triggers switched off for its session.
ALTER TABLE gateways ENABLE ALWAYS TRIGGER gateways_count_changed;
DROP FUNCTION count_changed_gateway();

-- migrate:down

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

DROP TRIGGER gateways_count_changed ON gateways;
CREATE TRIGGER gateways_count_changed
AFTER UPDATE ON gateways
FOR EACH ROW
WHEN (
    (OLD.deleted_at IS NULL, OLD.factory_id) IS DISTINCT FROM (NEW.deleted_at IS NULL, NEW.factory_id)
)
EXECUTE FUNCTION count_changed_gateway();
ALTER TABLE gateways ENABLE ALWAYS TRIGGER gateways_count_changed;
DROP FUNCTION count_changed_gateways();
