-- What users pay and owners earn of list prices, in parts per million; spend limits; codes that give
-- promotional credit; money on its way out to owners. Amounts are nano-USD.

CREATE TABLE zones (
    name       VARCHAR(64) NOT NULL PRIMARY KEY,
    ratio_ppm  BIGINT      NOT NULL,
    changed_at BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO zones (name, ratio_ppm, changed_at) VALUES ('standard', 1000000, 0);
INSERT INTO zones (name, ratio_ppm, changed_at) VALUES ('discount', 900000, 0);
INSERT INTO zones (name, ratio_ppm, changed_at) VALUES ('premium', 1200000, 0);

-- NULL: the zone named "standard".
ALTER TABLE users
    ADD COLUMN zone VARCHAR(64),
    ADD FOREIGN KEY (zone) REFERENCES zones (name);

-- NULL: the zone of the key's user.
ALTER TABLE user_keys
    ADD COLUMN zone VARCHAR(64),
    ADD FOREIGN KEY (zone) REFERENCES zones (name);

-- NULL: no limit.
ALTER TABLE user_keys ADD COLUMN day_limit BIGINT;
ALTER TABLE user_keys ADD COLUMN month_limit BIGINT;

ALTER TABLE owners ADD COLUMN tier_ppm BIGINT NOT NULL DEFAULT 800000;

-- An account whose tier is not its owner's. Accounts are named by agents: no row of ours knows them.
CREATE TABLE account_tiers (
    owner_id   BINARY(16) NOT NULL,
    account_id BINARY(16) NOT NULL,
    tier_ppm   BIGINT     NOT NULL,
    changed_at BIGINT     NOT NULL,
    PRIMARY KEY (owner_id, account_id),
    FOREIGN KEY (owner_id) REFERENCES owners (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE redemption_codes (
    hash        BINARY(32) NOT NULL PRIMARY KEY,
    batch_id    BINARY(16) NOT NULL,
    amount      BIGINT     NOT NULL,
    created_at  BIGINT     NOT NULL,
    expires_at  BIGINT,
    user_id     BINARY(16),            -- who redeemed it
    redeemed_at BIGINT,
    CHECK ((user_id IS NULL) = (redeemed_at IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX redemption_codes_by_batch ON redemption_codes (batch_id);

CREATE TABLE payouts (
    id           BINARY(16)   NOT NULL PRIMARY KEY,
    owner_id     BINARY(16)   NOT NULL,
    amount       BIGINT       NOT NULL,
    reason       VARCHAR(256),
    requested_at BIGINT       NOT NULL,
    state        BIGINT       NOT NULL,  -- 0 requested, 1 approved, 2 rejected
    reference    VARCHAR(256),
    decided_at   BIGINT,
    FOREIGN KEY (owner_id) REFERENCES owners (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX payouts_by_owner ON payouts (owner_id, id);
