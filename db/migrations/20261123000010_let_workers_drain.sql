-- migrate:up

-- A worker that is about to stop claims nothing, and no share is kept for it.
ALTER TABLE workers ADD COLUMN is_draining boolean NOT NULL DEFAULT FALSE;

-- migrate:down

ALTER TABLE workers DROP COLUMN is_draining;
