-- Put before pg_catalog on the search path, these take the place of the server's own: so the real statements run on
-- a clock, a start time and sessions that a test decides on.
CREATE SCHEMA model;

CREATE TABLE model.server (now timestamptz NOT NULL, started_at timestamptz NOT NULL, session_pid integer);
INSERT INTO model.server VALUES ('2026-01-01', '2026-01-01', NULL);

CREATE TABLE model.sessions (
    pid integer PRIMARY KEY,
    backend_start timestamptz NOT NULL,
    state_change timestamptz NOT NULL
);

CREATE FUNCTION model.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT now FROM model.server';

CREATE FUNCTION model.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT started_at FROM model.server';

CREATE FUNCTION model.pg_backend_pid() RETURNS integer LANGUAGE sql VOLATILE
AS 'SELECT session_pid FROM model.server';

CREATE FUNCTION model.pg_stat_get_activity(asked integer)
RETURNS SETOF model.sessions LANGUAGE sql VOLATILE
AS 'SELECT * FROM model.sessions WHERE pid = asked';
