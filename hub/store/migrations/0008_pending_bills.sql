-- Responses that a provider makes after it has answered: what is still to be billed, by whom it was
-- asked, and at which prices.
--
-- A row is written before anybody learns the response's id, names the read that is to bill it before
-- that read is sent, and is closed once its charge is settled, or given up. A response is billed once:
-- its id is there once at its home, and stays for a while after it was closed.

CREATE TABLE pending_bills (
    made_by     BINARY(16)     NOT NULL PRIMARY KEY CHECK (length(made_by) = 16),
    account_id  BINARY(16)     NOT NULL CHECK (length(account_id) = 16),
    owner_id    BINARY(16)     NOT NULL CHECK (length(owner_id) = 16),
    response_id VARBINARY(128) NOT NULL,
    provider    VARCHAR(16)    NOT NULL,
    user_id     BINARY(16)     NOT NULL CHECK (length(user_id) = 16),
    key_id      BINARY(16)     NOT NULL CHECK (length(key_id) = 16),
    target      VARBINARY(2048) NOT NULL,  -- path and query of the response at its provider
    model       VARCHAR(256)   NOT NULL,
    book        BINARY(32)     NOT NULL CHECK (length(book) = 32),
    priced_at   BIGINT         NOT NULL,
    zone_ppm    BIGINT         NOT NULL,
    held        BIGINT         NOT NULL,
    linked      BOOLEAN        NOT NULL,
    billed_by   BINARY(16),                -- the read that is to bill it
    made_at     BIGINT         NOT NULL,
    closed_at   BIGINT
);

CREATE UNIQUE INDEX pending_bills_by_response
    ON pending_bills (account_id, owner_id, response_id);

CREATE INDEX pending_bills_by_user ON pending_bills (user_id, response_id);

CREATE INDEX pending_bills_open ON pending_bills (closed_at, made_by);
