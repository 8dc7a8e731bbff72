-- migrate:up transaction:false

-- What gateways said of a refusal may have quoted the password. It is shown in another way from now on, and what was
-- stored before goes; rows keep their place in the order of the history. A part of it at a time, each committed, so
-- that nobody waits for long: neither for a row, nor, as those do who follow the events, for what began before. It is
-- one statement, since only then it may commit; interrupted, it can be run again.
DO $$
DECLARE
    part CONSTANT bigint := 10000;
    first_id bigint := (SELECT min(id) FROM gateway_events);
    last_id CONSTANT bigint := (SELECT max(id) FROM gateway_events);
    refused uuid;
BEGIN
    WHILE first_id <= last_id LOOP
        UPDATE gateway_events SET reason_message = split_part(reason_message, ':', 1) || '.'
        WHERE id >= first_id AND id < first_id + part AND reason_code IN ('login_rejected', 'subscribe_rejected')
            AND reason_message LIKE 'The gateway rejected the %:%';
        COMMIT;
        first_id := first_id + part;
    END LOOP;
    FOR refused IN
        SELECT gateway_id FROM gateway_connections
        WHERE reason_code IN ('login_rejected', 'subscribe_rejected')
            AND reason_message LIKE 'The gateway rejected the %:%'
    LOOP
        UPDATE gateway_connections SET reason_message = split_part(reason_message, ':', 1) || '.'
        WHERE gateway_id = refused AND reason_code IN ('login_rejected', 'subscribe_rejected')
            AND reason_message LIKE 'The gateway rejected the %:%';
        COMMIT;
    END LOOP;
END;
$$;

-- migrate:down

-- Nothing: the words are gone.
