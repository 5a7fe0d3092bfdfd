-- Users, keys, owners, invites, agents, outcomes.
--
-- Ids are the 16 bytes of a UUIDv7, so that their order is that of making. Times are microseconds
-- since 1970-01-01 UTC. Hashes are 32 bytes of SHA-256. Lists are text, separated by commas.

CREATE TABLE users (
    id         BINARY(16)  NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name       VARCHAR(64) NOT NULL UNIQUE,
    created_at BIGINT      NOT NULL,
    disabled   BOOLEAN     NOT NULL
);

CREATE TABLE user_keys (
    id         BINARY(16)  NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id    BINARY(16)  NOT NULL,
    label      VARCHAR(64) NOT NULL,
    hash       BINARY(32)  NOT NULL UNIQUE CHECK (length(hash) = 32),
    hint       VARCHAR(4)  NOT NULL,
    models     TEXT,                  -- patterns; NULL: any model
    expires_at BIGINT,
    networks   TEXT        NOT NULL,  -- empty: any network
    created_at BIGINT      NOT NULL,
    revoked_at BIGINT,
    FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE INDEX user_keys_by_user ON user_keys (user_id, id);

CREATE TABLE owners (
    id         BINARY(16)  NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name       VARCHAR(64) NOT NULL UNIQUE,
    created_at BIGINT      NOT NULL
);

CREATE TABLE agents (
    id           BINARY(16)  NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    owner_id     BINARY(16)  NOT NULL,
    spki         BINARY(32)  NOT NULL UNIQUE CHECK (length(spki) = 32),
    name         VARCHAR(64) NOT NULL,
    joined_at    BIGINT      NOT NULL,
    revoked_at   BIGINT,
    last_seen_at BIGINT,
    FOREIGN KEY (owner_id) REFERENCES owners (id)
);

CREATE INDEX agents_by_revocation ON agents (revoked_at);

CREATE TABLE invites (
    id         BINARY(16) NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    owner_id   BINARY(16) NOT NULL,
    token_hash BINARY(32) NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    expires_at BIGINT     NOT NULL,
    created_at BIGINT     NOT NULL,
    agent_id   BINARY(16),            -- the agent that came of it
    spki       BINARY(32),            -- the public key that it is bound to
    CHECK ((agent_id IS NULL) = (spki IS NULL)),
    FOREIGN KEY (owner_id) REFERENCES owners (id),
    FOREIGN KEY (agent_id) REFERENCES agents (id)
);

-- An outcome refers to nothing: it must be kept whatever has become of what it names.
CREATE TABLE outcomes (
    exchange_id         BINARY(16)  NOT NULL PRIMARY KEY CHECK (length(exchange_id) = 16),
    user_id             BINARY(16)  NOT NULL,
    key_id              BINARY(16)  NOT NULL,
    agent_id            BINARY(16),
    account_id          BINARY(16),
    provider            VARCHAR(16),
    route               VARCHAR(64) NOT NULL,
    model               VARCHAR(256),
    attempts            BIGINT      NOT NULL,
    status              BIGINT,
    end_reason          VARCHAR(32) NOT NULL,
    abort_code          VARCHAR(32),
    request_bytes       BIGINT      NOT NULL,
    response_bytes      BIGINT      NOT NULL,
    admitted_at         BIGINT      NOT NULL,
    dispatched_after_us BIGINT,
    head_after_us       BIGINT,
    first_byte_after_us BIGINT,
    ended_after_us      BIGINT      NOT NULL
);
