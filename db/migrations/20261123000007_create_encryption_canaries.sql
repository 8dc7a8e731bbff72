-- migrate:up

-- A known text, sealed with the key in use: whoever starts with another key notices at once.
CREATE TABLE encryption_canaries (
    key_id text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT encryption_canaries_pkey PRIMARY KEY (key_id),
    CONSTRAINT encryption_canaries_key_id CHECK (key_id ~ '^[0-9a-f]{16}$')
);

-- migrate:down

DROP TABLE encryption_canaries;
