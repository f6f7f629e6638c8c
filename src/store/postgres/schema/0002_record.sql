-- The record of use, and what consumers ask about in a day. What is appended only is in a schema of its own, where who serves can neither change nor remove it.
CREATE SCHEMA IF NOT EXISTS record;

-- One row an entry; rows are only added, and pruned from the beginning of a chain. The place is chain * 2^40 + sequence.
CREATE TABLE record.entries (
    place bigint PRIMARY KEY,
    entry bytea NOT NULL,         -- its first byte is the version of its format
    hash  bytea NOT NULL          -- SHA-256 of the hash before it, the sequence and the entry
);

-- When each chain began, how far it had got and what was pruned of it. Only added to. Each row's MAC is over it and
-- the MAC before it.
CREATE TABLE record.heads (
    number   bigint PRIMARY KEY,
    event    smallint NOT NULL,   -- 0 begun, 1 reached, 2 pruned
    chain    bigint NOT NULL,
    instance uuid NOT NULL,
    sequence bigint NOT NULL,
    hash     bytea NOT NULL,
    at       bigint NOT NULL,     -- seconds since 1970
    key      bytea NOT NULL,      -- the key of the MAC
    mac      bytea NOT NULL
);

-- Who writes each chain. It is only a matter of who goes on with which: two on one chain would want the same place.
CREATE TABLE record_writers (
    chain   bigint PRIMARY KEY,
    writer  uuid,                 -- a process; NULL: it has ended
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The search index, made from the entries in batches of 16384: batch is chain * 2^40 + the number of the batch.
CREATE TABLE record_found_by (
    batch    bigint NOT NULL,
    key      bigint NOT NULL,     -- the first bytes of a hash of the case, correlation, subject or delivery
    sequence bigint NOT NULL,
    PRIMARY KEY (batch, key, sequence)
);

-- Which batches have entries of a day in Norway (days since year 1) and a consumer (0: an operator).
CREATE TABLE record_days (
    day      integer NOT NULL,
    consumer bigint NOT NULL,
    batch    bigint NOT NULL,
    PRIMARY KEY (day, consumer, batch)
);

-- How many batches of each chain are indexed, from the first on.
CREATE TABLE record_indexed (
    chain   bigint PRIMARY KEY,
    batches bigint NOT NULL
);

-- Customers and cases that a consumer asked about on a day (since 1970-01-01), of all instances.
CREATE TABLE usage_seen (
    day      integer NOT NULL,
    consumer bigint NOT NULL,
    what     bytea NOT NULL,      -- 8 bytes: the first of a customer's pseudonym; 16: a case
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (day, consumer, what)
);
CREATE INDEX usage_seen_of_late ON usage_seen (day, at);

-- How many they were, of days that are over.
CREATE TABLE usage_days (
    day       integer NOT NULL,
    consumer  bigint NOT NULL,
    customers bigint NOT NULL,
    cases     bigint NOT NULL,
    PRIMARY KEY (day, consumer)
);
