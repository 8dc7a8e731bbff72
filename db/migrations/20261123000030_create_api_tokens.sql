-- migrate:up

-- Who may use the API. The token itself is shown once and never stored: its hash is.
CREATE TABLE api_tokens (
    id uuid NOT NULL DEFAULT uuidv7(),
    name text NOT NULL,
    scope text NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- To the day: one write a day, not one a request.
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_tokens_pkey PRIMARY KEY (id),
    CONSTRAINT api_tokens_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT api_tokens_scope CHECK (scope IN ('read', 'write')),
    CONSTRAINT api_tokens_token_hash_length CHECK (octet_length(token_hash) = 32)
);

-- A name means one token; a revoked one frees its name.
CREATE UNIQUE INDEX api_tokens_live_name_key ON api_tokens (name) WHERE revoked_at IS NULL;

-- migrate:down

DROP TABLE api_tokens;
