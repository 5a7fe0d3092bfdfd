-- The owner whose house a user belongs to, where it belongs to one: accounts for own use, and for
-- the organisation's, serve nobody else.

ALTER TABLE users
    ADD COLUMN owner_id BINARY(16),
    ADD FOREIGN KEY (owner_id) REFERENCES owners (id);
