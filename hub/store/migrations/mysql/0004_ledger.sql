-- The ledger: balances, transfers between them, leases, one settlement an exchange, and the hub's
-- own chained journal.
--
-- Amounts are whole nano-USD. An account of the ledger is one byte of kind and 16 of whose it is.
-- Transfers and the journal are only ever inserted. Nothing refers to a row of another table: money
-- must be kept whatever has become of what it names.

CREATE TABLE ledger_accounts (
    id             BINARY(17) NOT NULL PRIMARY KEY,
    debits_posted  BIGINT     NOT NULL CHECK (debits_posted >= 0),
    credits_posted BIGINT     NOT NULL CHECK (credits_posted >= 0),
    debits_pending BIGINT     NOT NULL CHECK (debits_pending >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE ledger_transfers (
    subject BINARY(16)   NOT NULL,
    leg     BIGINT       NOT NULL,
    part    BIGINT       NOT NULL,
    kind    BIGINT       NOT NULL,
    debit   BINARY(17)   NOT NULL,
    credit  BINARY(17)   NOT NULL,
    amount  BIGINT       NOT NULL CHECK (amount > 0),
    lease   BINARY(16),             -- the lease that a post uses, and that a pending or void is of
    party   BINARY(16),             -- the user or owner for whom it is listed; NULL for exchanges
    memo    VARCHAR(256),
    made_at BIGINT       NOT NULL,
    PRIMARY KEY (subject, leg, part)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ledger_transfers_by_party ON ledger_transfers (party, made_at);

CREATE TABLE ledger_leases (
    id         BINARY(16) NOT NULL PRIMARY KEY,
    account    BINARY(17) NOT NULL,
    node_id    BINARY(16) NOT NULL,
    granted    BIGINT     NOT NULL,
    used       BIGINT     NOT NULL CHECK (used >= 0),
    returned   BIGINT     NOT NULL CHECK (returned >= 0),
    parts      BIGINT     NOT NULL,
    is_open    BOOLEAN    NOT NULL,
    taken_at   BIGINT     NOT NULL,
    changed_at BIGINT     NOT NULL,
    CHECK (used + returned <= granted)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ledger_leases_by_state ON ledger_leases (is_open, id);

CREATE TABLE settlements (
    exchange_id     BINARY(16)     NOT NULL PRIMARY KEY,
    user_id         BINARY(16)     NOT NULL,
    key_id          BINARY(16)     NOT NULL,
    agent_id        BINARY(16),             -- who served it: all four or none
    owner_id        BINARY(16),
    account_id      BINARY(16),
    attempt         BIGINT,
    provider        VARCHAR(16),
    model           VARCHAR(256),
    units           VARBINARY(512) NOT NULL, -- a byte of class and eight of count each
    basis           BIGINT         NOT NULL,
    service         BIGINT         NOT NULL,
    geo             BIGINT         NOT NULL,
    book            BINARY(32),
    priced_at       BIGINT         NOT NULL,
    zone_ppm        BIGINT         NOT NULL,
    tier_ppm        BIGINT         NOT NULL,
    end_reason      VARCHAR(32)    NOT NULL,
    charge          BIGINT         NOT NULL CHECK (charge >= 0),
    income          BIGINT         NOT NULL CHECK (income >= 0),
    rounding        BIGINT         NOT NULL CHECK (rounding >= 0),
    bearer          BIGINT         NOT NULL,
    promo           BIGINT         NOT NULL,
    loss            BIGINT         NOT NULL,
    node_id         BINARY(16)     NOT NULL,
    lease_id        BINARY(16),
    hold_no         BIGINT,
    held            BIGINT         NOT NULL,
    settled_at      BIGINT         NOT NULL,
    claim_until     BIGINT         NOT NULL,
    leg_state       BIGINT         NOT NULL,
    leg_due_at      BIGINT         NOT NULL,
    leg_paid        BIGINT         NOT NULL,
    leg_answered_at BIGINT,
    claim_epoch     BIGINT,
    claim_seq       BIGINT,
    claim_hash      BINARY(32)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX settlements_by_user ON settlements (user_id, settled_at, exchange_id);

CREATE INDEX settlements_by_owner ON settlements (owner_id, settled_at, exchange_id);

CREATE INDEX settlements_by_leg ON settlements (leg_state, leg_due_at);

CREATE TABLE hub_journal (
    entry_no BIGINT          NOT NULL PRIMARY KEY,
    kind     BIGINT          NOT NULL,
    body     VARBINARY(4096) NOT NULL,
    noted_at BIGINT          NOT NULL,
    previous BINARY(32)      NOT NULL,
    hash     BINARY(32)      NOT NULL UNIQUE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
