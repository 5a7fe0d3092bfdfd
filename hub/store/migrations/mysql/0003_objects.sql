-- Objects that live at a provider, and the user whose they are: ids, sizes and times alone, neither
-- names nor contents.
--
-- An object lives under one account of one owner. Accounts are named by agents, so the owner belongs
-- to the key: nobody can announce another owner's account and speak for its objects. A provider's
-- ids differ in case: they are bytes here. A row refers to nothing, because the object itself stays
-- whatever becomes of what the row names.

CREATE TABLE objects (
    account_id BINARY(16)     NOT NULL,
    owner_id   BINARY(16)     NOT NULL,
    object_id  VARBINARY(128) NOT NULL,
    kind       VARCHAR(16)    NOT NULL,
    provider   VARCHAR(16)    NOT NULL,
    user_id    BINARY(16)     NOT NULL,
    parent_id  VARBINARY(128),          -- an object of the same account that it is part of
    bytes      BIGINT,
    made_at    BIGINT         NOT NULL,
    PRIMARY KEY (account_id, owner_id, object_id),
    KEY objects_by_user (user_id, provider, object_id),
    KEY objects_by_kind (user_id, provider, kind, made_at, object_id),
    KEY objects_by_parent (account_id, owner_id, parent_id),
    KEY objects_by_age (kind, made_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
