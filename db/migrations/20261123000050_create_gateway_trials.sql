-- migrate:up

-- Logins to be tested once, by any worker that is free, and the results. A row exists while a client waits for it.
-- After a crash it is of no use to anybody: the table is unlogged, and no password gets into the write-ahead log.
CREATE UNLOGGED TABLE gateway_trials (
    id uuid NOT NULL DEFAULT uuidv7(),
    url text NOT NULL,
    email text NOT NULL,
    -- Empty as soon as there is a result.
    sealed_password bytea NOT NULL,
    -- The row that the password was sealed for: this one, or the gateway whose stored password it is.
    sealed_for uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When the client stops waiting.
    expires_at timestamptz NOT NULL,
    -- The worker that runs it. No foreign key: it is no reason to keep a worker's row.
    claimed_by uuid,
    result jsonb,
    CONSTRAINT gateway_trials_pkey PRIMARY KEY (id),
    -- The rules of gateways, which the login may become one of.
    CONSTRAINT gateway_trials_url_scheme CHECK (url ~ '^wss?://' AND char_length(url) <= 2000),
    CONSTRAINT gateway_trials_email_length CHECK (char_length(email) BETWEEN 1 AND 320),
    -- A password is stored no longer than it is needed.
    CONSTRAINT gateway_trials_password_until_result CHECK (
        CASE WHEN result IS NULL THEN octet_length(sealed_password) BETWEEN 38 AND 4133
        ELSE octet_length(sealed_password) = 0 END
    )
);

-- migrate:down

DROP TABLE gateway_trials;
