-- What is billed later is a response or a batch, and one node at a time looks after it: which, and
-- until when. NULL: nobody does yet. A node that died loses its bills when their time is over.

ALTER TABLE pending_bills
    ADD COLUMN kind VARCHAR(16) NOT NULL DEFAULT 'response',
    ADD COLUMN node_id BINARY(16),
    ADD COLUMN node_until BIGINT;

-- What of a charge took its user's balance below nothing: no income is paid of it before it is paid
-- back, or somebody decides.

ALTER TABLE settlements ADD COLUMN owed BIGINT NOT NULL DEFAULT 0;
