-- migrate:up

-- Up to when gateway_events may have gaps: the newest transition that was ever pruned. One row.
CREATE TABLE history_bounds (
    is_only_row boolean NOT NULL DEFAULT TRUE,
    events_pruned_until timestamptz NOT NULL,
    CONSTRAINT history_bounds_pkey PRIMARY KEY (is_only_row),
    CONSTRAINT history_bounds_is_only_row CHECK (is_only_row)
);

-- What was pruned before now is older than what is left, if anything is.
INSERT INTO history_bounds (events_pruned_until)
SELECT coalesce(min(at), now()) FROM gateway_events;

CREATE FUNCTION remember_pruned_events() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE history_bounds SET events_pruned_until = newest.at
    FROM (SELECT max(at) AS at FROM pruned) AS newest
    WHERE newest.at > history_bounds.events_pruned_until;
    RETURN NULL;
END;
$$;

CREATE TRIGGER gateway_events_remember_pruned
AFTER DELETE ON gateway_events
REFERENCING OLD TABLE AS pruned
FOR EACH STATEMENT EXECUTE FUNCTION remember_pruned_events();

-- migrate:down

DROP TRIGGER gateway_events_remember_pruned ON gateway_events;
DROP FUNCTION remember_pruned_events();
DROP TABLE history_bounds;
