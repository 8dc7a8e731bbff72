-- migrate:up

-- upgrade: stop
-- Names that the field uses, and that say what a thing is. No row is written. The processes of the version before know
-- none of these names: they are stopped first.
-- squawk-ignore-file renaming-table, renaming-column, renaming-object

SET LOCAL lock_timeout = '2s';

ALTER TABLE gateway_trials RENAME TO connection_tests;
ALTER TABLE gateway_wishes RENAME TO desired_state_changes;
ALTER TABLE encryption_canaries RENAME TO encryption_key_checks;
ALTER TABLE history_bounds RENAME TO event_pruning;
ALTER SEQUENCE gateway_wishes_id_seq RENAME TO desired_state_changes_id_seq;

-- The text on the device, which the API and its files still call gateway_id.
ALTER TABLE gateways RENAME COLUMN gateway_id TO device_id;
-- The number of the transaction that wrote the row.
ALTER TABLE gateways RENAME COLUMN written_by TO modified_xid;
ALTER TABLE gateway_events RENAME COLUMN written_by TO modified_xid;
ALTER TABLE gateways RENAME CONSTRAINT gateways_gateway_id_length TO gateways_device_id_length;
ALTER TABLE gateways RENAME CONSTRAINT gateways_gateway_id_not_null TO gateways_device_id_not_null;
ALTER TABLE gateways RENAME CONSTRAINT gateways_written_by_not_null TO gateways_modified_xid_not_null;
ALTER TABLE gateway_events RENAME CONSTRAINT gateway_events_written_by_not_null TO gateway_events_modified_xid_not_null;
ALTER INDEX gateways_live_gateway_id_key RENAME TO gateways_live_device_id_key;
ALTER INDEX gateways_written_by_idx RENAME TO gateways_modified_xid_idx;
ALTER INDEX gateway_events_written_by_id_idx RENAME TO gateway_events_modified_xid_id_idx;
ALTER INDEX gateway_wishes_gateway_id_id_idx RENAME TO desired_state_changes_gateway_id_id_idx;

-- The constraints of these tables begin with the name of the table.
DO $$
DECLARE
    renamed record;
BEGIN
    FOR renamed IN
        SELECT t.name, c.conname AS was, t.name || substr(c.conname, length(t.was) + 1) AS becomes
        FROM (
            VALUES
                ('gateway_trials', 'connection_tests'),
                ('gateway_wishes', 'desired_state_changes'),
                ('encryption_canaries', 'encryption_key_checks'),
                ('history_bounds', 'event_pruning')
        ) AS t (was, name)
        JOIN pg_constraint AS c ON c.conrelid = t.name::regclass AND starts_with(c.conname, t.was)
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I', renamed.name, renamed.was, renamed.becomes);
    END LOOP;
END;
$$;

ALTER FUNCTION raise_version() RENAME TO bump_version;
ALTER FUNCTION count_no_gateways() RENAME TO reset_gateway_counts;
ALTER FUNCTION add_to_gateway_count(uuid, bigint) RENAME TO bump_gateway_count;
ALTER FUNCTION add_to_gateway_counts(uuid, bigint) RENAME TO bump_gateway_counts;
ALTER FUNCTION remember_gateway_wish() RENAME TO record_desired_state;
ALTER FUNCTION remember_pruned_events() RENAME TO record_pruned_events;
ALTER FUNCTION event_stream() RENAME TO event_stream_id;
ALTER FUNCTION writing_transaction(bigint) RENAME TO current_xid;
ALTER TRIGGER factories_raise_version ON factories RENAME TO factories_bump_version;
ALTER TRIGGER gateway_events_remember_pruned ON gateway_events RENAME TO gateway_events_record_pruned;
ALTER TRIGGER gateways_count_none ON gateways RENAME TO gateways_reset_counts;
ALTER TRIGGER gateways_remember_wish ON gateways RENAME TO gateways_record_desired_state;

-- The bodies of functions are texts: they name tables, columns, functions and settings by their new names from now on.
DO $$
DECLARE
    body record;
    word record;
    definition text;
BEGIN
    FOR body IN
        SELECT p.oid FROM pg_proc AS p JOIN pg_language AS l ON p.prolang = l.oid
        WHERE p.pronamespace = current_schema()::regnamespace AND l.lanname = 'plpgsql'
    LOOP
        definition := pg_get_functiondef(body.oid);
        FOR word IN
            VALUES
                ('gateway_trials', 'connection_tests'),
                ('gateway_wishes', 'desired_state_changes'),
                ('encryption_canaries', 'encryption_key_checks'),
                ('history_bounds', 'event_pruning'),
                ('written_by', 'modified_xid'),
                ('add_to_gateway_count', 'bump_gateway_count'),
                ('add_to_gateway_counts', 'bump_gateway_counts'),
                ('event_stream', 'event_stream_id'),
                ('millgate.tells_later', 'millgate.defer_notify'),
                ('millgate.seals_anew', 'millgate.reencrypting'),
                ('leaving its canary', 'storing its key check')
        LOOP
            definition := regexp_replace(definition, '\m' || word.column1 || '\M', word.column2, 'g');
        END LOOP;
        EXECUTE definition;
    END LOOP;
END;
$$;

-- migrate:down

SET LOCAL lock_timeout = '2s';

ALTER TABLE connection_tests RENAME TO gateway_trials;
ALTER TABLE desired_state_changes RENAME TO gateway_wishes;
ALTER TABLE encryption_key_checks RENAME TO encryption_canaries;
ALTER TABLE event_pruning RENAME TO history_bounds;
ALTER SEQUENCE desired_state_changes_id_seq RENAME TO gateway_wishes_id_seq;
ALTER TABLE gateways RENAME COLUMN device_id TO gateway_id;
ALTER TABLE gateways RENAME COLUMN modified_xid TO written_by;
ALTER TABLE gateway_events RENAME COLUMN modified_xid TO written_by;
ALTER TABLE gateways RENAME CONSTRAINT gateways_device_id_length TO gateways_gateway_id_length;
ALTER TABLE gateways RENAME CONSTRAINT gateways_device_id_not_null TO gateways_gateway_id_not_null;
ALTER TABLE gateways RENAME CONSTRAINT gateways_modified_xid_not_null TO gateways_written_by_not_null;
ALTER TABLE gateway_events RENAME CONSTRAINT gateway_events_modified_xid_not_null TO gateway_events_written_by_not_null;
ALTER INDEX gateways_live_device_id_key RENAME TO gateways_live_gateway_id_key;
ALTER INDEX gateways_modified_xid_idx RENAME TO gateways_written_by_idx;
ALTER INDEX gateway_events_modified_xid_id_idx RENAME TO gateway_events_written_by_id_idx;
ALTER INDEX desired_state_changes_gateway_id_id_idx RENAME TO gateway_wishes_gateway_id_id_idx;

DO $$
DECLARE
    renamed record;
BEGIN
    FOR renamed IN
        SELECT t.name, c.conname AS was, t.name || substr(c.conname, length(t.was) + 1) AS becomes
        FROM (
            VALUES
                ('connection_tests', 'gateway_trials'),
                ('desired_state_changes', 'gateway_wishes'),
                ('encryption_key_checks', 'encryption_canaries'),
                ('event_pruning', 'history_bounds')
        ) AS t (was, name)
        JOIN pg_constraint AS c ON c.conrelid = t.name::regclass AND starts_with(c.conname, t.was)
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I', renamed.name, renamed.was, renamed.becomes);
    END LOOP;
END;
$$;

ALTER FUNCTION bump_version() RENAME TO raise_version;
ALTER FUNCTION reset_gateway_counts() RENAME TO count_no_gateways;
ALTER FUNCTION bump_gateway_count(uuid, bigint) RENAME TO add_to_gateway_count;
ALTER FUNCTION bump_gateway_counts(uuid, bigint) RENAME TO add_to_gateway_counts;
ALTER FUNCTION record_desired_state() RENAME TO remember_gateway_wish;
ALTER FUNCTION record_pruned_events() RENAME TO remember_pruned_events;
ALTER FUNCTION event_stream_id() RENAME TO event_stream;
ALTER FUNCTION current_xid(bigint) RENAME TO writing_transaction;
ALTER TRIGGER factories_bump_version ON factories RENAME TO factories_raise_version;
ALTER TRIGGER gateway_events_record_pruned ON gateway_events RENAME TO gateway_events_remember_pruned;
ALTER TRIGGER gateways_reset_counts ON gateways RENAME TO gateways_count_none;
ALTER TRIGGER gateways_record_desired_state ON gateways RENAME TO gateways_remember_wish;

DO $$
DECLARE
    body record;
    word record;
    definition text;
BEGIN
    FOR body IN
        SELECT p.oid FROM pg_proc AS p JOIN pg_language AS l ON p.prolang = l.oid
        WHERE p.pronamespace = current_schema()::regnamespace AND l.lanname = 'plpgsql'
    LOOP
        definition := pg_get_functiondef(body.oid);
        FOR word IN
            VALUES
                ('connection_tests', 'gateway_trials'),
                ('desired_state_changes', 'gateway_wishes'),
                ('encryption_key_checks', 'encryption_canaries'),
                ('event_pruning', 'history_bounds'),
                ('modified_xid', 'written_by'),
                ('bump_gateway_count', 'add_to_gateway_count'),
                ('bump_gateway_counts', 'add_to_gateway_counts'),
                ('event_stream_id', 'event_stream'),
                ('millgate.defer_notify', 'millgate.tells_later'),
                ('millgate.reencrypting', 'millgate.seals_anew'),
                ('storing its key check', 'leaving its canary')
        LOOP
            definition := regexp_replace(definition, '\m' || word.column1 || '\M', word.column2, 'g');
        END LOOP;
        EXECUTE definition;
    END LOOP;
END;
$$;
