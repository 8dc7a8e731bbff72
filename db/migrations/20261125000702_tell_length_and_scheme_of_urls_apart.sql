-- migrate:up

SET LOCAL lock_timeout = '2s';

-- A constraint that is violated says what is wrong by its name: one rule, one name.
ALTER TABLE gateway_trials
DROP CONSTRAINT gateway_trials_url_scheme,
ADD CONSTRAINT gateway_trials_url_scheme CHECK (url ~ '^wss?://') NOT VALID,
ADD CONSTRAINT gateway_trials_url_length CHECK (char_length(url) <= 2000) NOT VALID;
ALTER TABLE gateways
DROP CONSTRAINT gateways_url_scheme,
ADD CONSTRAINT gateways_url_scheme CHECK (url ~ '^wss?://') NOT VALID,
ADD CONSTRAINT gateways_url_length CHECK (char_length(url) <= 2000) NOT VALID;

-- migrate:down

ALTER TABLE gateways
DROP CONSTRAINT gateways_url_length,
DROP CONSTRAINT gateways_url_scheme,
-- squawk-ignore constraint-missing-not-valid
ADD CONSTRAINT gateways_url_scheme CHECK (url ~ '^wss?://' AND char_length(url) <= 2000);
ALTER TABLE gateway_trials
DROP CONSTRAINT gateway_trials_url_length,
DROP CONSTRAINT gateway_trials_url_scheme,
-- squawk-ignore constraint-missing-not-valid
ADD CONSTRAINT gateway_trials_url_scheme CHECK (url ~ '^wss?://' AND char_length(url) <= 2000);
