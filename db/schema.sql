\restrict dbmate

-- Dumped from database version 18.4
-- Dumped by pg_dump version 18.4

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: bump_gateway_count(uuid, bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bump_gateway_count(of_factory uuid, more bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: bump_gateway_counts(uuid, bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bump_gateway_counts(of_factory uuid, more bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM bump_gateway_count(of_factory, more);
    PERFORM bump_gateway_count('00000000-0000-0000-0000-000000000000', more);
END;
$$;


--
-- Name: bump_gateway_versions(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bump_gateway_versions() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    compared gateways;
BEGIN
    -- Sealing the same password with another key is no change of a gateway. Nothing else changes with it, whatever the
    -- statement says.
    IF current_setting('millgate.reencrypting', TRUE) = 'yes' THEN
        compared := NEW;
        NEW := OLD;
        NEW.sealed_password := compared.sealed_password;
        RETURN NEW;
    END IF;
    -- What sessions are opened with.
    IF (
        NEW.url, NEW.email, NEW.sealed_password, NEW.password_is_confined, NEW.desired_state, NEW.deleted_at
    ) IS DISTINCT FROM (
        OLD.url, OLD.email, OLD.sealed_password, OLD.password_is_confined, OLD.desired_state, OLD.deleted_at
    )
    THEN
        NEW.generation := OLD.generation + 1;
    END IF;
    -- What clients read. That somebody asked for an attempt is no change; what is generated is not there yet in NEW.
    compared := NEW;
    compared.connect_requested_at := OLD.connect_requested_at;
    compared.modified_xid := OLD.modified_xid;
    IF compared *<> OLD THEN
        NEW.version := OLD.version + 1;
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END;
$$;


--
-- Name: bump_version(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bump_version() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW *<> OLD THEN
        NEW.version := OLD.version + 1;
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END;
$$;


--
-- Name: complete_event(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.complete_event() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.factory_id := (SELECT factory_id FROM gateways WHERE id = NEW.gateway_id);
    IF NEW.reason_code IN ('login_rejected', 'subscribe_rejected')
        AND NEW.reason_message LIKE 'The gateway rejected the %:%'
    THEN
        NEW.reason_message := split_part(NEW.reason_message, ':', 1) || '.';
    END IF;
    RETURN NEW;
END;
$$;


--
-- Name: count_changed_gateways(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.count_changed_gateways() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    -- The row of the grand total has no factory.
    PERFORM bump_gateway_count(
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


--
-- Name: count_created_gateways(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.count_created_gateways() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM bump_gateway_counts(factory_id, count(*))
    FROM created WHERE deleted_at IS NULL GROUP BY factory_id;
    RETURN NULL;
END;
$$;


--
-- Name: count_removed_gateways(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.count_removed_gateways() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM bump_gateway_counts(factory_id, -count(*))
    FROM removed WHERE deleted_at IS NULL GROUP BY factory_id;
    RETURN NULL;
END;
$$;


--
-- Name: current_database_identity(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.current_database_identity() RETURNS text
    LANGUAGE sql STABLE
    RETURN (SELECT format('%s/%s'::text, system.system_identifier, d.oid) AS format FROM (pg_control_system() system(pg_control_version, catalog_version_no, system_identifier, pg_control_last_modified) CROSS JOIN pg_database d) WHERE (d.datname = current_database()));


--
-- Name: current_xid(bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.current_xid(bigint) RETURNS xid8
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    RETURN pg_current_xact_id();
END;
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: database_identity; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.database_identity (
    is_only_row boolean DEFAULT true NOT NULL,
    identity text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT database_identity_is_only_row CHECK (is_only_row)
);


--
-- Name: database_is_held(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.database_is_held() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN COALESCE((SELECT (i.identity <> public.current_database_identity()) FROM public.database_identity i), false);


--
-- Name: event_stream_id(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.event_stream_id() RETURNS text
    LANGUAGE sql STABLE
    RETURN (((SELECT (pg_control_system.system_identifier)::text AS system_identifier FROM pg_control_system() pg_control_system(pg_control_version, catalog_version_no, system_identifier, pg_control_last_modified)) || '/'::text) || SUBSTRING(pg_walfile_name(pg_current_wal_insert_lsn()) FROM 1 FOR 8));


--
-- Name: key_id_of(bytea); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.key_id_of(sealed bytea) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN encode(SUBSTRING(sealed FROM 2 FOR 8), 'hex'::text);


--
-- Name: notify_gateways_changed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notify_gateways_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.generation = OLD.generation
        AND NEW.connect_requested_at = OLD.connect_requested_at
    THEN
        RETURN NULL;
    END IF;
    IF current_setting('millgate.defer_notify', TRUE) = 'on' THEN
        RETURN NULL;
    END IF;
    NOTIFY gateways_changed;
    RETURN NULL;
END;
$$;


--
-- Name: record_desired_state(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.record_desired_state() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    is_wanted CONSTANT boolean := NEW.deleted_at IS NULL AND NEW.desired_state = 'connected';
BEGIN
    IF TG_OP = 'UPDATE' AND is_wanted = (OLD.deleted_at IS NULL AND OLD.desired_state = 'connected') THEN
        RETURN NULL;
    END IF;
    INSERT INTO desired_state_changes (gateway_id, at, is_wanted)
    VALUES (
        NEW.id, CASE WHEN TG_OP = 'INSERT' THEN NEW.created_at ELSE clock_timestamp() END, is_wanted
    );
    RETURN NULL;
END;
$$;


--
-- Name: record_pruned_events(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.record_pruned_events() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE event_pruning SET events_pruned_until = newest.at
    FROM (SELECT max(at) AS at FROM pruned) AS newest
    WHERE newest.at > event_pruning.events_pruned_until;
    UPDATE event_pruning AS b SET
        events_pruned_in = event_stream_id(),
        events_pruned_by = last.modified_xid,
        events_pruned_id = last.id
    FROM (SELECT modified_xid, id FROM pruned ORDER BY modified_xid DESC, id DESC LIMIT 1) AS last
    WHERE b.events_pruned_in IS DISTINCT FROM event_stream_id()
        OR (last.modified_xid, last.id) > (b.events_pruned_by, b.events_pruned_id);
    RETURN NULL;
END;
$$;


--
-- Name: refuse_retired_key(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.refuse_retired_key() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    wanted text;
    is_first boolean;
    is_there boolean;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.sealed_password = OLD.sealed_password THEN
        RETURN NULL;
    END IF;
    wanted := key_id_of(NEW.sealed_password);
    LOOP
        PERFORM FROM encryption_key_checks WHERE key_id = wanted FOR KEY SHARE;
        EXIT WHEN FOUND;
        -- One statement, one snapshot: the first process may be storing its key check at this moment.
        SELECT count(*) = 0, coalesce(bool_or(key_id = wanted), FALSE)
        INTO is_first, is_there
        FROM encryption_key_checks;
        EXIT WHEN is_first;
        IF NOT is_there THEN
            RAISE EXCEPTION 'the password was sealed with a key that is not in use'
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'gateways_sealed_with_key_in_use';
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;


--
-- Name: reset_gateway_counts(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.reset_gateway_counts() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    TRUNCATE gateway_counts;
    RETURN NULL;
END;
$$;


--
-- Name: rfc3339(timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.rfc3339(at timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (replace(((at AT TIME ZONE 'UTC'::text))::text, ' '::text, 'T'::text) || 'Z'::text);


--
-- Name: set_updated_at(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END;
$$;


--
-- Name: workers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.workers (
    id uuid DEFAULT uuidv7() NOT NULL,
    epoch bigint NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    version text NOT NULL,
    session_pid integer NOT NULL,
    session_started_at timestamp with time zone NOT NULL,
    lease_duration interval NOT NULL,
    gateways_held bigint DEFAULT 0 NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT now() NOT NULL,
    lease_expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    is_draining boolean DEFAULT false NOT NULL,
    gateway_capacity bigint,
    CONSTRAINT workers_gateway_capacity_not_negative CHECK ((gateway_capacity >= 0)),
    CONSTRAINT workers_gateways_held_not_negative CHECK ((gateways_held >= 0)),
    CONSTRAINT workers_host_length CHECK (((char_length(host) >= 1) AND (char_length(host) <= 255))),
    CONSTRAINT workers_lease_duration_positive CHECK ((lease_duration > '00:00:00'::interval))
)
WITH (fillfactor='50');


--
-- Name: worker_is_live(public.workers); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.worker_is_live(worker public.workers) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT worker.ended_at IS NULL
        AND worker.lease_expires_at > clock_timestamp()
        AND EXISTS (
            SELECT FROM pg_stat_get_activity(worker.session_pid) AS session
            WHERE session.backend_start = worker.session_started_at
                AND session.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        )
$$;


--
-- Name: workers_are_full(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.workers_are_full() RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(bool_and(coalesce(w.gateways_held >= w.gateway_capacity, FALSE)), FALSE)
    FROM workers AS w
    WHERE worker_is_live(w) AND NOT w.is_draining
$$;


--
-- Name: api_tokens; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_tokens (
    id uuid DEFAULT uuidv7() NOT NULL,
    name text NOT NULL,
    scope text NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_tokens_name_length CHECK (((char_length(name) >= 1) AND (char_length(name) <= 100))),
    CONSTRAINT api_tokens_scope CHECK ((scope = ANY (ARRAY['read'::text, 'write'::text]))),
    CONSTRAINT api_tokens_token_hash_length CHECK ((octet_length(token_hash) = 32))
);


--
-- Name: connection_tests; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.connection_tests (
    id uuid DEFAULT uuidv7() NOT NULL,
    url text NOT NULL,
    email text NOT NULL,
    sealed_password bytea NOT NULL,
    sealed_for uuid NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    claimed_by uuid,
    result jsonb,
    password_is_confined boolean DEFAULT false NOT NULL,
    CONSTRAINT connection_tests_email_length CHECK (((char_length(email) >= 1) AND (char_length(email) <= 320))),
    CONSTRAINT connection_tests_password_until_result CHECK (
CASE
    WHEN (result IS NULL) THEN ((octet_length(sealed_password) >= 38) AND (octet_length(sealed_password) <= 4133))
    ELSE (octet_length(sealed_password) = 0)
END),
    CONSTRAINT connection_tests_url_length CHECK ((char_length(url) <= 2000)),
    CONSTRAINT connection_tests_url_scheme CHECK ((url ~ '^wss?://'::text))
);


--
-- Name: desired_state_changes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.desired_state_changes (
    id bigint NOT NULL,
    gateway_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    is_wanted boolean NOT NULL
);


--
-- Name: desired_state_changes_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.desired_state_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.desired_state_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: encryption_key_checks; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.encryption_key_checks (
    key_id text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT encryption_key_checks_key_id CHECK ((key_id ~ '^[0-9a-f]{16}$'::text))
);


--
-- Name: event_pruning; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.event_pruning (
    is_only_row boolean DEFAULT true NOT NULL,
    events_pruned_until timestamp with time zone NOT NULL,
    events_pruned_in text,
    events_pruned_by xid8,
    events_pruned_id bigint,
    CONSTRAINT event_pruning_is_only_row CHECK (is_only_row)
);


--
-- Name: factories; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.factories (
    id uuid DEFAULT uuidv7() NOT NULL,
    organization_id uuid DEFAULT '00000000-0000-7000-8000-000000000001'::uuid NOT NULL,
    name text NOT NULL,
    location text,
    timezone text DEFAULT 'UTC'::text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT factories_location_length CHECK (((char_length(location) >= 1) AND (char_length(location) <= 500))),
    CONSTRAINT factories_metadata_is_object CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT factories_name_length CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT factories_timezone_length CHECK (((char_length(timezone) >= 1) AND (char_length(timezone) <= 100)))
);


--
-- Name: gateway_connections; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.gateway_connections (
    gateway_id uuid NOT NULL,
    worker_id uuid,
    epoch bigint,
    state text DEFAULT 'disconnected'::text NOT NULL,
    state_since timestamp with time zone DEFAULT now() NOT NULL,
    reason_code text,
    reason_message text,
    reason_phase text,
    reason_retryable boolean,
    reason_at timestamp with time zone,
    attempt bigint DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone,
    observed_generation bigint,
    connected_since timestamp with time zone,
    last_connected_at timestamp with time zone,
    last_disconnected_at timestamp with time zone,
    last_seen_at timestamp with time zone,
    last_message_at timestamp with time zone,
    connects bigint DEFAULT 0 NOT NULL,
    messages_received bigint DEFAULT 0 NOT NULL,
    rejected_logins bigint DEFAULT 0 NOT NULL,
    last_rejected_at timestamp with time zone,
    CONSTRAINT gateway_connections_attempt_not_negative CHECK ((attempt >= 0)),
    CONSTRAINT gateway_connections_connected_has_since CHECK (((state = 'connected'::text) = (connected_since IS NOT NULL))),
    CONSTRAINT gateway_connections_connects_not_negative CHECK ((connects >= 0)),
    CONSTRAINT gateway_connections_holder_is_whole CHECK (((worker_id IS NULL) = (epoch IS NULL))),
    CONSTRAINT gateway_connections_messages_received_not_negative CHECK ((messages_received >= 0)),
    CONSTRAINT gateway_connections_reason_is_whole CHECK ((num_nulls(reason_code, reason_message, reason_phase, reason_retryable, reason_at) = ANY (ARRAY[0, 5]))),
    CONSTRAINT gateway_connections_rejected_logins_not_negative CHECK ((rejected_logins >= 0)),
    CONSTRAINT gateway_connections_state CHECK ((state = ANY (ARRAY['disconnected'::text, 'connecting'::text, 'authenticating'::text, 'connected'::text, 'retrying'::text, 'auth_failed'::text, 'disconnecting'::text]))),
    CONSTRAINT gateway_connections_unheld_is_disconnected CHECK (((worker_id IS NOT NULL) OR (state = 'disconnected'::text))),
    CONSTRAINT gateway_connections_waiting_has_next_attempt CHECK (
CASE
    WHEN (state = ANY (ARRAY['retrying'::text, 'auth_failed'::text])) THEN (next_attempt_at IS NOT NULL)
    ELSE ((next_attempt_at IS NULL) OR (state = 'disconnected'::text))
END)
)
WITH (fillfactor='50');


--
-- Name: gateway_counts; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.gateway_counts (
    id bigint NOT NULL,
    factory_id uuid NOT NULL,
    gateways bigint NOT NULL
)
WITH (fillfactor='50');


--
-- Name: gateway_counts_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.gateway_counts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.gateway_counts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: gateway_events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.gateway_events (
    id bigint NOT NULL,
    gateway_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    reason_code text,
    reason_message text,
    reason_phase text,
    attempt bigint NOT NULL,
    generation bigint,
    worker_id uuid,
    epoch bigint,
    modified_xid xid8 GENERATED ALWAYS AS (public.current_xid(id)) STORED NOT NULL,
    factory_id uuid,
    CONSTRAINT gateway_events_attempt_not_negative CHECK ((attempt >= 0)),
    CONSTRAINT gateway_events_from_state CHECK ((from_state = ANY (ARRAY['disconnected'::text, 'connecting'::text, 'authenticating'::text, 'connected'::text, 'retrying'::text, 'auth_failed'::text, 'disconnecting'::text, 'unknown'::text]))),
    CONSTRAINT gateway_events_reason_is_whole CHECK ((num_nulls(reason_code, reason_message, reason_phase) = ANY (ARRAY[0, 3]))),
    CONSTRAINT gateway_events_to_state CHECK ((to_state = ANY (ARRAY['disconnected'::text, 'connecting'::text, 'authenticating'::text, 'connected'::text, 'retrying'::text, 'auth_failed'::text, 'disconnecting'::text, 'unknown'::text])))
);


--
-- Name: gateway_events_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.gateway_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.gateway_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: gateways; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.gateways (
    id uuid DEFAULT uuidv7() NOT NULL,
    factory_id uuid NOT NULL,
    device_id text NOT NULL,
    name text NOT NULL,
    model text,
    firmware_version text,
    url text NOT NULL,
    email text NOT NULL,
    sealed_password bytea NOT NULL,
    desired_state text DEFAULT 'connected'::text NOT NULL,
    connect_requested_at timestamp with time zone DEFAULT now() NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    version bigint DEFAULT 1 NOT NULL,
    deleted_with_factory boolean DEFAULT false NOT NULL,
    modified_xid xid8 GENERATED ALWAYS AS (public.current_xid(version)) STORED NOT NULL,
    password_is_confined boolean DEFAULT false NOT NULL,
    CONSTRAINT gateways_deleted_with_factory_is_deleted CHECK (((deleted_at IS NOT NULL) OR (NOT deleted_with_factory))),
    CONSTRAINT gateways_desired_state CHECK ((desired_state = ANY (ARRAY['connected'::text, 'disconnected'::text]))),
    CONSTRAINT gateways_device_id_length CHECK (((char_length(device_id) >= 1) AND (char_length(device_id) <= 100))),
    CONSTRAINT gateways_email_length CHECK (((char_length(email) >= 1) AND (char_length(email) <= 320))),
    CONSTRAINT gateways_firmware_version_length CHECK (((char_length(firmware_version) >= 1) AND (char_length(firmware_version) <= 100))),
    CONSTRAINT gateways_generation_positive CHECK ((generation > 0)),
    CONSTRAINT gateways_metadata_is_object CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT gateways_model_length CHECK (((char_length(model) >= 1) AND (char_length(model) <= 100))),
    CONSTRAINT gateways_name_length CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT gateways_sealed_password_length CHECK (((octet_length(sealed_password) >= 38) AND (octet_length(sealed_password) <= 4133))),
    CONSTRAINT gateways_url_length CHECK ((char_length(url) <= 2000)),
    CONSTRAINT gateways_url_scheme CHECK ((url ~ '^wss?://'::text))
);


--
-- Name: gateway_statuses; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.gateway_statuses AS
 SELECT g.id,
    g.factory_id,
    g.desired_state,
        CASE
            WHEN (c.worker_id IS NULL) THEN 'disconnected'::text
            WHEN live.is_live THEN c.state
            ELSE 'unknown'::text
        END AS state,
        CASE
            WHEN (c.gateway_id IS NULL) THEN g.created_at
            WHEN ((c.worker_id IS NULL) OR live.is_live) THEN c.state_since
            ELSE GREATEST(w.heartbeat_at, c.state_since)
        END AS state_since,
        CASE
            WHEN ((c.worker_id IS NULL) AND (g.desired_state = 'connected'::text)) THEN
            CASE
                WHEN ( SELECT public.database_is_held() AS database_is_held) THEN 'database_held'::text
                WHEN ( SELECT public.workers_are_full() AS workers_are_full) THEN 'no_capacity'::text
                ELSE 'no_worker'::text
            END
            WHEN ((c.worker_id IS NULL) OR live.is_live) THEN c.reason_code
            WHEN ( SELECT public.database_is_held() AS database_is_held) THEN 'database_held'::text
            ELSE 'worker_lost'::text
        END AS reason_code,
        CASE
            WHEN ((c.worker_id IS NULL) AND (g.desired_state = 'connected'::text)) THEN
            CASE
                WHEN ( SELECT public.database_is_held() AS database_is_held) THEN 'This database is a copy that was not taken over.'::text
                WHEN ( SELECT public.workers_are_full() AS workers_are_full) THEN 'All workers are at capacity.'::text
                ELSE 'No worker has taken this gateway yet.'::text
            END
            WHEN ((c.worker_id IS NULL) OR live.is_live) THEN c.reason_message
            WHEN ( SELECT public.database_is_held() AS database_is_held) THEN 'This database is a copy that was not taken over.'::text
            ELSE 'The worker that holds this gateway is not heard of.'::text
        END AS reason_message,
        CASE
            WHEN ((c.worker_id IS NULL) AND (g.desired_state = 'connected'::text)) THEN 'claim'::text
            WHEN ((c.worker_id IS NULL) OR live.is_live) THEN c.reason_phase
            ELSE 'claim'::text
        END AS reason_phase,
        CASE
            WHEN ((c.worker_id IS NULL) AND (g.desired_state = 'connected'::text)) THEN true
            WHEN ((c.worker_id IS NULL) OR live.is_live) THEN c.reason_retryable
            ELSE true
        END AS reason_retryable,
        CASE
            WHEN ((c.gateway_id IS NULL) AND (g.desired_state = 'connected'::text)) THEN g.created_at
            WHEN ((c.worker_id IS NULL) AND (g.desired_state = 'connected'::text)) THEN GREATEST(c.state_since, g.connect_requested_at)
            WHEN ((c.worker_id IS NULL) OR live.is_live) THEN c.reason_at
            ELSE GREATEST(w.heartbeat_at, c.state_since)
        END AS reason_at,
    COALESCE(c.attempt, (0)::bigint) AS attempt,
        CASE
            WHEN live.is_live THEN c.next_attempt_at
            ELSE NULL::timestamp with time zone
        END AS next_attempt_at,
        CASE
            WHEN live.is_live THEN c.connected_since
            ELSE NULL::timestamp with time zone
        END AS connected_since,
    c.last_connected_at,
    c.last_disconnected_at,
    c.last_seen_at,
    c.last_message_at,
    g.generation,
    c.observed_generation,
    c.worker_id,
    w.host AS worker_host,
    w.lease_expires_at AS worker_lease_expires_at,
    clock_timestamp() AS as_of
   FROM (((public.gateways g
     LEFT JOIN public.gateway_connections c ON ((g.id = c.gateway_id)))
     LEFT JOIN public.workers w ON ((c.worker_id = w.id)))
     LEFT JOIN LATERAL ( SELECT public.worker_is_live(w.*) AS is_live) live ON (true))
  WHERE (g.deleted_at IS NULL);


--
-- Name: organizations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.organizations (
    id uuid DEFAULT uuidv7() NOT NULL,
    name text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT organizations_metadata_is_object CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT organizations_name_length CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200)))
);


--
-- Name: schema_migrations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);


--
-- Name: worker_epochs; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.worker_epochs
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: worker_epochs; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.worker_epochs OWNED BY public.workers.epoch;


--
-- Name: workers epoch; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.workers ALTER COLUMN epoch SET DEFAULT nextval('public.worker_epochs'::regclass);


--
-- Name: api_tokens api_tokens_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_pkey PRIMARY KEY (id);


--
-- Name: connection_tests connection_tests_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.connection_tests
    ADD CONSTRAINT connection_tests_pkey PRIMARY KEY (id);


--
-- Name: database_identity database_identity_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.database_identity
    ADD CONSTRAINT database_identity_pkey PRIMARY KEY (is_only_row);


--
-- Name: desired_state_changes desired_state_changes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.desired_state_changes
    ADD CONSTRAINT desired_state_changes_pkey PRIMARY KEY (id);


--
-- Name: encryption_key_checks encryption_key_checks_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.encryption_key_checks
    ADD CONSTRAINT encryption_key_checks_pkey PRIMARY KEY (key_id);


--
-- Name: event_pruning event_pruning_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event_pruning
    ADD CONSTRAINT event_pruning_pkey PRIMARY KEY (is_only_row);


--
-- Name: factories factories_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.factories
    ADD CONSTRAINT factories_pkey PRIMARY KEY (id);


--
-- Name: gateway_connections gateway_connections_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.gateway_connections
    ADD CONSTRAINT gateway_connections_pkey PRIMARY KEY (gateway_id);


--
-- Name: gateway_counts gateway_counts_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.gateway_counts
    ADD CONSTRAINT gateway_counts_pkey PRIMARY KEY (id);


--
-- Name: gateway_events gateway_events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.gateway_events
    ADD CONSTRAINT gateway_events_pkey PRIMARY KEY (id);


--
-- Name: gateways gateways_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.gateways
    ADD CONSTRAINT gateways_pkey PRIMARY KEY (id);


--
-- Name: organizations organizations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);


--
-- Name: schema_migrations schema_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);


--
-- Name: workers workers_epoch_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_epoch_key UNIQUE (epoch);


--
-- Name: workers workers_id_epoch_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_id_epoch_key UNIQUE (id, epoch);


--
-- Name: workers workers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);


--
-- Name: api_tokens_live_name_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX api_tokens_live_name_key ON public.api_tokens USING btree (name) WHERE (revoked_at IS NULL);


--
-- Name: desired_state_changes_gateway_id_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX desired_state_changes_gateway_id_id_idx ON public.desired_state_changes USING btree (gateway_id, id);


--
-- Name: factories_deleted_name_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX factories_deleted_name_id_idx ON public.factories USING btree (name, id) WHERE (deleted_at IS NOT NULL);


--
-- Name: factories_live_created_at_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX factories_live_created_at_id_idx ON public.factories USING btree (created_at, id) WHERE (deleted_at IS NULL);


--
-- Name: factories_live_name_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX factories_live_name_id_idx ON public.factories USING btree (name, id) WHERE (deleted_at IS NULL);


--
-- Name: factories_organization_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX factories_organization_id_idx ON public.factories USING btree (organization_id);


--
-- Name: gateway_connections_state_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateway_connections_state_idx ON public.gateway_connections USING btree (state) WHERE (state <> 'connected'::text);


--
-- Name: gateway_connections_worker_id_epoch_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateway_connections_worker_id_epoch_idx ON public.gateway_connections USING btree (worker_id, epoch);


--
-- Name: gateway_counts_factory_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateway_counts_factory_id_idx ON public.gateway_counts USING btree (factory_id);


--
-- Name: gateway_events_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateway_events_at_idx ON public.gateway_events USING btree (at);


--
-- Name: gateway_events_gateway_id_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateway_events_gateway_id_id_idx ON public.gateway_events USING btree (gateway_id, id);


--
-- Name: gateway_events_modified_xid_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateway_events_modified_xid_id_idx ON public.gateway_events USING btree (modified_xid, id);


--
-- Name: gateways_active_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateways_active_id_idx ON public.gateways USING btree (id) WHERE ((deleted_at IS NULL) AND (desired_state = 'connected'::text));


--
-- Name: gateways_deleted_name_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateways_deleted_name_id_idx ON public.gateways USING btree (name, id) WHERE (deleted_at IS NOT NULL);


--
-- Name: gateways_factory_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateways_factory_id_idx ON public.gateways USING btree (factory_id);


--
-- Name: gateways_live_created_at_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateways_live_created_at_id_idx ON public.gateways USING btree (created_at, id) WHERE (deleted_at IS NULL);


--
-- Name: gateways_live_desired_state_name_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateways_live_desired_state_name_id_idx ON public.gateways USING btree (desired_state, name, id) WHERE (deleted_at IS NULL);


--
-- Name: gateways_live_device_id_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX gateways_live_device_id_key ON public.gateways USING btree (device_id) WHERE (deleted_at IS NULL);


--
-- Name: gateways_live_factory_id_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateways_live_factory_id_id_idx ON public.gateways USING btree (factory_id, id) WHERE (deleted_at IS NULL);


--
-- Name: gateways_live_factory_id_name_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateways_live_factory_id_name_id_idx ON public.gateways USING btree (factory_id, name, id) WHERE (deleted_at IS NULL);


--
-- Name: gateways_live_name_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateways_live_name_id_idx ON public.gateways USING btree (name, id) WHERE (deleted_at IS NULL);


--
-- Name: gateways_modified_xid_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX gateways_modified_xid_idx ON public.gateways USING btree (modified_xid);


--
-- Name: workers_not_ended_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX workers_not_ended_idx ON public.workers USING btree (id) WHERE (ended_at IS NULL);


--
-- Name: factories factories_bump_version; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER factories_bump_version BEFORE UPDATE ON public.factories FOR EACH ROW EXECUTE FUNCTION public.bump_version();


--
-- Name: gateway_events gateway_events_complete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateway_events_complete BEFORE INSERT ON public.gateway_events FOR EACH ROW WHEN ((new.factory_id IS NULL)) EXECUTE FUNCTION public.complete_event();


--
-- Name: gateway_events gateway_events_record_pruned; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateway_events_record_pruned AFTER DELETE ON public.gateway_events REFERENCING OLD TABLE AS pruned FOR EACH STATEMENT EXECUTE FUNCTION public.record_pruned_events();


--
-- Name: gateways gateways_bump_versions; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateways_bump_versions BEFORE UPDATE ON public.gateways FOR EACH ROW EXECUTE FUNCTION public.bump_gateway_versions();


--
-- Name: gateways gateways_count_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateways_count_changed AFTER UPDATE ON public.gateways REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION public.count_changed_gateways();

ALTER TABLE public.gateways ENABLE ALWAYS TRIGGER gateways_count_changed;


--
-- Name: gateways gateways_count_created; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateways_count_created AFTER INSERT ON public.gateways REFERENCING NEW TABLE AS created FOR EACH STATEMENT EXECUTE FUNCTION public.count_created_gateways();

ALTER TABLE public.gateways ENABLE ALWAYS TRIGGER gateways_count_created;


--
-- Name: gateways gateways_count_removed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateways_count_removed AFTER DELETE ON public.gateways REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION public.count_removed_gateways();

ALTER TABLE public.gateways ENABLE ALWAYS TRIGGER gateways_count_removed;


--
-- Name: gateways gateways_notify_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateways_notify_changed AFTER INSERT OR UPDATE ON public.gateways FOR EACH ROW EXECUTE FUNCTION public.notify_gateways_changed();


--
-- Name: gateways gateways_record_desired_state; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateways_record_desired_state AFTER INSERT OR UPDATE ON public.gateways FOR EACH ROW EXECUTE FUNCTION public.record_desired_state();


--
-- Name: gateways gateways_refuse_retired_key; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateways_refuse_retired_key AFTER INSERT OR UPDATE ON public.gateways FOR EACH ROW EXECUTE FUNCTION public.refuse_retired_key();


--
-- Name: gateways gateways_reset_counts; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER gateways_reset_counts AFTER TRUNCATE ON public.gateways FOR EACH STATEMENT EXECUTE FUNCTION public.reset_gateway_counts();

ALTER TABLE public.gateways ENABLE ALWAYS TRIGGER gateways_reset_counts;


--
-- Name: organizations organizations_set_updated_at; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER organizations_set_updated_at BEFORE UPDATE ON public.organizations FOR EACH ROW EXECUTE FUNCTION public.set_updated_at();


--
-- Name: desired_state_changes desired_state_changes_gateway_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.desired_state_changes
    ADD CONSTRAINT desired_state_changes_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES public.gateways(id) ON DELETE CASCADE;


--
-- Name: factories factories_organization_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.factories
    ADD CONSTRAINT factories_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);


--
-- Name: gateway_connections gateway_connections_gateway_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.gateway_connections
    ADD CONSTRAINT gateway_connections_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES public.gateways(id);


--
-- Name: gateway_connections gateway_connections_worker_id_epoch_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.gateway_connections
    ADD CONSTRAINT gateway_connections_worker_id_epoch_fkey FOREIGN KEY (worker_id, epoch) REFERENCES public.workers(id, epoch);


--
-- Name: gateway_events gateway_events_gateway_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.gateway_events
    ADD CONSTRAINT gateway_events_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES public.gateways(id);


--
-- Name: gateways gateways_factory_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.gateways
    ADD CONSTRAINT gateways_factory_id_fkey FOREIGN KEY (factory_id) REFERENCES public.factories(id);


--
-- PostgreSQL database dump complete
--

\unrestrict dbmate


--
-- Dbmate schema migrations
--

INSERT INTO public.schema_migrations (version) VALUES
    ('20261123000002'),
    ('20261123000003'),
    ('20261123000005'),
    ('20261123000008'),
    ('20261123000024'),
    ('20261123000030'),
    ('20261123000031'),
    ('20261123000050'),
    ('20261123000061'),
    ('20261125000200'),
    ('20261125000201'),
    ('20261125000202'),
    ('20261125000301'),
    ('20261125000400'),
    ('20261125000401'),
    ('20261125000600'),
    ('20261125000700'),
    ('20261125000701'),
    ('20261125000702'),
    ('20261125000703'),
    ('20261125000704'),
    ('20261125000800'),
    ('20261125000920');
