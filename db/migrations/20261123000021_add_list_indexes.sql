-- migrate:up

-- Building these locks writes out for as long as it takes: under a second at 100,000 gateways.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion

-- The other orders of lists, and what they are narrowed down by. A factory's gateways need no index an order:
-- they are few enough to be sorted.
CREATE INDEX factories_live_created_at_id_idx ON factories (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX factories_deleted_name_id_idx ON factories (name, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX gateways_live_created_at_id_idx ON gateways (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX gateways_live_desired_state_name_id_idx ON gateways (desired_state, name, id)
WHERE deleted_at IS NULL;
CREATE INDEX gateways_deleted_name_id_idx ON gateways (name, id) WHERE deleted_at IS NOT NULL;

-- All that a count by factory and state needs of a gateway.
CREATE INDEX gateways_live_factory_id_id_idx ON gateways (factory_id, id) WHERE deleted_at IS NULL;

-- Most are connected, and found in the order of the list. The state changes rarely: what is written every few
-- seconds (last_seen_at) stays without an index, so that it is written in place.
CREATE INDEX gateway_connections_state_idx ON gateway_connections (state) WHERE state <> 'connected';

-- migrate:down

DROP INDEX gateway_connections_state_idx;
DROP INDEX gateways_live_factory_id_id_idx;
DROP INDEX gateways_deleted_name_id_idx;
DROP INDEX gateways_live_desired_state_name_id_idx;
DROP INDEX gateways_live_created_at_id_idx;
DROP INDEX factories_deleted_name_id_idx;
DROP INDEX factories_live_created_at_id_idx;
