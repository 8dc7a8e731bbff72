-- migrate:up

-- What gateways said of a refusal may have quoted the password. It is shown in another way from now on, and what was
-- stored before goes. One pass over the history; rows stay in place in its order.
UPDATE gateway_events SET reason_message = split_part(reason_message, ':', 1) || '.'
WHERE reason_code IN ('login_rejected', 'subscribe_rejected') AND reason_message LIKE 'The gateway rejected the %:%';

UPDATE gateway_connections SET reason_message = split_part(reason_message, ':', 1) || '.'
WHERE reason_code IN ('login_rejected', 'subscribe_rejected') AND reason_message LIKE 'The gateway rejected the %:%';

-- migrate:down

-- Nothing: the words are gone.
