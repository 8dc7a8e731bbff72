-- migrate:up

-- Gateways to be tried out once, by whichever worker is free, and what came of it. A row is there while a client
-- waits for the answer. After a crash it is worth nothing, so it is in no log of the server's.
CREATE UNLOGGED TABLE gateway_trials (
    id uuid NOT NULL DEFAULT uuidv7(),
    url text NOT NULL,
    email text NOT NULL,
    -- Empty as soon as there is a result.
    sealed_password bytea NOT NULL,
    -- The row that the password was sealed for: this one, or the gateway's whose stored password it is.
    sealed_for uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When the trial has to be over.
    expires_at timestamptz NOT NULL,
    -- The worker that does it. No foreign key: a trial is no reason to keep a worker's row.
    claimed_by uuid,
    result jsonb,
    CONSTRAINT gateway_trials_pkey PRIMARY KEY (id),
    CONSTRAINT gateway_trials_url_scheme CHECK (url ~ '^wss?://' AND char_length(url) <= 2000),
    CONSTRAINT gateway_trials_email_length CHECK (char_length(email) BETWEEN 1 AND 320),
    CONSTRAINT gateway_trials_password_until_result CHECK (
        CASE WHEN result IS NULL THEN octet_length(sealed_password) BETWEEN 38 AND 4133
        ELSE octet_length(sealed_password) = 0 END
    )
);

-- migrate:down

DROP TABLE gateway_trials;
