-- How far the hub has taken each agent's ledger, and what it found wrong with it.
--
-- A chain's row moves forward, or to a new epoch, by an UPDATE that names where it stood. A finding
-- is never changed and never deleted: its id is the SHA-256 of its evidence.

CREATE TABLE agent_chains (
    agent_id   BINARY(16)      NOT NULL PRIMARY KEY CHECK (length(agent_id) = 16),
    ledger_key BINARY(32)      NOT NULL CHECK (length(ledger_key) = 32),
    epoch      BIGINT          NOT NULL,
    size       BIGINT          NOT NULL,
    last_leaf  BINARY(32)      NOT NULL CHECK (length(last_leaf) = 32),
    peaks      VARBINARY(2048) NOT NULL,
    updated_at BIGINT          NOT NULL
);

CREATE TABLE ledger_findings (
    finding_id  BINARY(32)  NOT NULL PRIMARY KEY CHECK (length(finding_id) = 32),
    agent_id    BINARY(16)  NOT NULL CHECK (length(agent_id) = 16),
    name        VARCHAR(64) NOT NULL,
    epoch       BIGINT      NOT NULL,
    seq         BIGINT      NOT NULL,
    exchange_id BINARY(16),
    evidence    MEDIUMBLOB  NOT NULL,
    found_at    BIGINT      NOT NULL
);

CREATE INDEX ledger_findings_by_agent ON ledger_findings (agent_id, found_at);
CREATE INDEX ledger_findings_by_exchange ON ledger_findings (exchange_id);
CREATE INDEX ledger_findings_by_age ON ledger_findings (found_at, finding_id);
