-- migrate:up

-- Who may use the API. A token is shown once, when it is made, and never stored: its hash is.
CREATE TABLE api_tokens (
    id uuid NOT NULL DEFAULT uuidv7(),
    name text NOT NULL,
    scope text NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- To the day: one write a day, not one per request.
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_tokens_pkey PRIMARY KEY (id),
    CONSTRAINT api_tokens_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    -- A scope that the API does not know would grant nothing, or too much.
    CONSTRAINT api_tokens_scope CHECK (scope IN ('read', 'write')),
    -- SHA-256: nothing else is stored here by mistake, least of all the token.
    CONSTRAINT api_tokens_token_hash_length CHECK (octet_length(token_hash) = 32)
);

-- A name means one token; revoking it frees the name.
CREATE UNIQUE INDEX api_tokens_live_name_key ON api_tokens (name) WHERE revoked_at IS NULL;

-- migrate:down

DROP TABLE api_tokens;
