-- The record of use. One row an entry; rows are only added, and pruned from the beginning of a chain.
-- The place is chain * 2^40 + sequence: one integer key, so that rows are appended to full pages.
CREATE TABLE entries (
    place INTEGER PRIMARY KEY,
    entry BLOB NOT NULL,       -- its first byte is the version of its format
    hash  BLOB NOT NULL        -- SHA-256 of the hash before it, the sequence and the entry
);

-- When each chain began, how far it had got and what was pruned of it. Only added to. Each row's MAC is over it and
-- the MAC before it.
CREATE TABLE heads (
    number   INTEGER PRIMARY KEY,
    event    INTEGER NOT NULL,  -- 0 begun, 1 reached, 2 pruned
    chain    INTEGER NOT NULL,
    instance BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    hash     BLOB NOT NULL,
    at       INTEGER NOT NULL,  -- seconds since 1970
    key      BLOB NOT NULL,     -- the key of the MAC
    mac      BLOB NOT NULL
);

-- The search index, made from the entries in batches of 16384: batch is chain * 2^40 + the number of the batch. A batch
-- is sorted before it is written, so this too is only appended to; a search looks into every batch.
CREATE TABLE found_by (
    batch    INTEGER NOT NULL,
    key      INTEGER NOT NULL,  -- the first bytes of a hash of the case, correlation, subject or delivery
    sequence INTEGER NOT NULL,
    PRIMARY KEY (batch, key, sequence)
) WITHOUT ROWID;

-- Which batches have entries of a day in Norway (days since year 1) and a consumer (0: an operator).
CREATE TABLE days (
    day      INTEGER NOT NULL,
    consumer INTEGER NOT NULL,
    batch    INTEGER NOT NULL,
    PRIMARY KEY (day, consumer, batch)
) WITHOUT ROWID;

-- How many batches of each chain are indexed, from the first on.
CREATE TABLE indexed (
    chain   INTEGER PRIMARY KEY,
    batches INTEGER NOT NULL
);
