-- migrate:up

-- What was wanted, and since when: a row for each change of mind, append-only, kept for good. A gateway is
-- wanted while it is not deleted and its desired state is connected. It takes this and gateway_events to
-- tell how much of the wanted time a gateway was connected.
CREATE TABLE gateway_wishes (
    id bigint GENERATED ALWAYS AS IDENTITY,
    gateway_id uuid NOT NULL,
    at timestamptz NOT NULL,
    is_wanted boolean NOT NULL,
    CONSTRAINT gateway_wishes_pkey PRIMARY KEY (id),
    CONSTRAINT gateway_wishes_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES gateways (id)
    ON DELETE CASCADE
);

CREATE INDEX gateway_wishes_gateway_id_id_idx ON gateway_wishes (gateway_id, id);

-- For gateways that are there already: the first generation was wanted from the beginning. What the others
-- were before now is not known.
INSERT INTO gateway_wishes (gateway_id, at, is_wanted)
SELECT
    id,
    CASE WHEN generation = 1 THEN created_at ELSE now() END,
    deleted_at IS NULL AND desired_state = 'connected'
FROM gateways;

CREATE FUNCTION remember_gateway_wish() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gateway_wishes (gateway_id, at, is_wanted)
    VALUES (
        NEW.id,
        CASE WHEN TG_OP = 'INSERT' THEN NEW.created_at ELSE clock_timestamp() END,
        NEW.deleted_at IS NULL AND NEW.desired_state = 'connected'
    );
    RETURN NULL;
END;
$$;

CREATE TRIGGER gateways_remember_first_wish
AFTER INSERT ON gateways
FOR EACH ROW EXECUTE FUNCTION remember_gateway_wish();

CREATE TRIGGER gateways_remember_wish
AFTER UPDATE ON gateways
FOR EACH ROW
WHEN (
    (OLD.deleted_at IS NULL AND OLD.desired_state = 'connected')
    IS DISTINCT FROM (NEW.deleted_at IS NULL AND NEW.desired_state = 'connected')
)
EXECUTE FUNCTION remember_gateway_wish();

-- migrate:down

DROP TRIGGER gateways_remember_wish ON gateways;
DROP TRIGGER gateways_remember_first_wish ON gateways;
DROP FUNCTION remember_gateway_wish();
DROP TABLE gateway_wishes;
