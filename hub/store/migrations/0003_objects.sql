-- Objects that live at a provider, and the user whose they are: ids, sizes and times alone, neither
-- names nor contents.
--
-- An object lives under one account of one owner. Accounts are named by agents, so the owner belongs
-- to the key: nobody can announce another owner's account and speak for its objects. A provider's
-- ids differ in case: they are bytes here. A row refers to nothing, because the object itself stays
-- whatever becomes of what the row names.

CREATE TABLE objects (
    account_id BINARY(16)     NOT NULL CHECK (length(account_id) = 16),
    owner_id   BINARY(16)     NOT NULL CHECK (length(owner_id) = 16),
    object_id  VARBINARY(128) NOT NULL,
    kind       VARCHAR(16)    NOT NULL,
    provider   VARCHAR(16)    NOT NULL,
    user_id    BINARY(16)     NOT NULL CHECK (length(user_id) = 16),
    parent_id  VARBINARY(128),          -- an object of the same account that it is part of
    bytes      BIGINT,
    made_at    BIGINT         NOT NULL,
    PRIMARY KEY (account_id, owner_id, object_id)
);

CREATE INDEX objects_by_user ON objects (user_id, provider, object_id);

CREATE INDEX objects_by_kind ON objects (user_id, provider, kind, made_at, object_id);

CREATE INDEX objects_by_parent ON objects (account_id, owner_id, parent_id);

CREATE INDEX objects_by_age ON objects (kind, made_at);
