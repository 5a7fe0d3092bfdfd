-- Users, keys, owners, invites, agents, outcomes. The twin of SQLite's first migration.
--
-- Ids are the 16 bytes of a UUIDv7, so that their order is that of making. Times are microseconds
-- since 1970-01-01 UTC. Hashes are 32 bytes of SHA-256. Lists are text, separated by commas.
-- Every text is compared byte by byte (utf8mb4_bin): Alice and alice are two.

CREATE TABLE users (
    id         BINARY(16)  NOT NULL PRIMARY KEY,
    name       VARCHAR(64) NOT NULL,
    created_at BIGINT      NOT NULL,
    disabled   BOOLEAN     NOT NULL,
    UNIQUE KEY users_by_name (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE user_keys (
    id         BINARY(16)  NOT NULL PRIMARY KEY,
    user_id    BINARY(16)  NOT NULL,
    label      VARCHAR(64) NOT NULL,
    hash       BINARY(32)  NOT NULL,
    hint       VARCHAR(4)  NOT NULL,
    models     TEXT,                  -- patterns; NULL: any model
    expires_at BIGINT,
    networks   TEXT        NOT NULL,  -- empty: any network
    created_at BIGINT      NOT NULL,
    revoked_at BIGINT,
    UNIQUE KEY user_keys_by_hash (hash),
    KEY user_keys_by_user (user_id, id),
    FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE owners (
    id         BINARY(16)  NOT NULL PRIMARY KEY,
    name       VARCHAR(64) NOT NULL,
    created_at BIGINT      NOT NULL,
    UNIQUE KEY owners_by_name (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE agents (
    id           BINARY(16)  NOT NULL PRIMARY KEY,
    owner_id     BINARY(16)  NOT NULL,
    spki         BINARY(32)  NOT NULL,
    name         VARCHAR(64) NOT NULL,
    joined_at    BIGINT      NOT NULL,
    revoked_at   BIGINT,
    last_seen_at BIGINT,
    UNIQUE KEY agents_by_spki (spki),
    KEY agents_by_revocation (revoked_at),
    FOREIGN KEY (owner_id) REFERENCES owners (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE invites (
    id         BINARY(16) NOT NULL PRIMARY KEY,
    owner_id   BINARY(16) NOT NULL,
    token_hash BINARY(32) NOT NULL,
    expires_at BIGINT     NOT NULL,
    created_at BIGINT     NOT NULL,
    agent_id   BINARY(16),            -- the agent that came of it
    spki       BINARY(32),            -- the public key that it is bound to
    UNIQUE KEY invites_by_token (token_hash),
    CHECK ((agent_id IS NULL) = (spki IS NULL)),
    FOREIGN KEY (owner_id) REFERENCES owners (id),
    FOREIGN KEY (agent_id) REFERENCES agents (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- An outcome refers to nothing: it must be kept whatever has become of what it names.
CREATE TABLE outcomes (
    exchange_id         BINARY(16)  NOT NULL PRIMARY KEY,
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
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
