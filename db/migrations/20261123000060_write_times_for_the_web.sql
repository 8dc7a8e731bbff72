-- migrate:up

-- A time as RFC 3339 has it, in UTC. Small enough that PostgreSQL puts it in place of the call. It takes the date
-- style ISO, which the service's sessions have.
CREATE FUNCTION rfc3339(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN replace((at AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z';

-- migrate:down

DROP FUNCTION rfc3339(timestamptz);
