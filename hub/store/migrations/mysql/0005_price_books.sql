-- Price books: the canonical bytes of each by their SHA-256, and the history of what was in force.
--
-- Neither table is ever updated or deleted from. The book in force is the activation with the
-- greatest number. A book has at most 4 MiB.

CREATE TABLE price_books (
    hash        BINARY(32)   NOT NULL PRIMARY KEY,
    canonical   MEDIUMBLOB   NOT NULL,
    row_count   BIGINT       NOT NULL,
    note        VARCHAR(256) NOT NULL,
    signature   BINARY(64)   NOT NULL,
    imported_at BIGINT       NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX price_books_by_age ON price_books (imported_at, hash);

CREATE TABLE price_book_activations (
    number       BIGINT     NOT NULL PRIMARY KEY,
    book_hash    BINARY(32) NOT NULL,
    activated_at BIGINT     NOT NULL,
    FOREIGN KEY (book_hash) REFERENCES price_books (hash)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
