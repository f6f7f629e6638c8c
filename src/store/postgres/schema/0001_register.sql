-- One row a bank and register. Who writes a set holds its row locked. Times are milliseconds since 1970, days are days
-- since 1970-01-01.
CREATE TABLE sets (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bank          integer NOT NULL,
    register      smallint NOT NULL,            -- 0 KAR, 1 KFR
    version       bigint NOT NULL DEFAULT 0,    -- the one that answers
    kept_from     bigint NOT NULL DEFAULT 0,    -- the oldest whose rows are still whole
    loaded        boolean NOT NULL DEFAULT false,
    last_delivery bigint,
    records       bigint NOT NULL DEFAULT 0,
    running       bigint NOT NULL DEFAULT 0,    -- of them, on the day they were counted
    sequence      bigint NOT NULL DEFAULT 0,    -- the Delivery-Sequence that was published last
    whole_set     uuid,                         -- the delivery that stands, with what changed it since
    key           smallint NOT NULL,            -- of its rows; rows of another key are seen by nobody
    UNIQUE (bank, register)
) WITH (fillfactor = 50);

-- One row a record and version. In force at version v: since <= v, and until absent or > v. Only until ever changes, which
-- no index holds, so that a page that has room takes the changed row too. No foreign keys: a set is never removed.
CREATE TABLE relationships (
    since     bigint NOT NULL,
    until     bigint,
    set_id    integer NOT NULL,
    from_day  integer NOT NULL,
    to_day    integer,
    terms     smallint NOT NULL,  -- format version, kind of agreement, role, creditable, holdsFunds
    key       smallint NOT NULL,  -- that subject and agreement are sealed with
    subject   bytea NOT NULL,     -- the customer, sealed
    agreement bytea NOT NULL,     -- the account or reference, sealed; empty at customer level
    PRIMARY KEY (subject, set_id, agreement, from_day, since)
) WITH (fillfactor = 95, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
-- Accounts are found by the first bytes of their sealed form.
CREATE INDEX relationships_by_agreement ON relationships (substr(agreement, 1, 8)) WHERE agreement <> '';

-- Receipts.
CREATE TABLE deliveries (
    id           uuid PRIMARY KEY,
    set_id       integer NOT NULL,
    kind         smallint NOT NULL,
    state        smallint NOT NULL,
    received_at  bigint NOT NULL,
    beat         bigint NOT NULL DEFAULT 0,     -- counted up by who receives it, while it is received
    published_at bigint,
    version      bigint,          -- of the set, once published
    reason       text,            -- why it was rejected or abandoned
    day          integer,         -- of KFR calls
    calls        bigint NOT NULL DEFAULT 0,
    read         bigint NOT NULL DEFAULT 0,
    stored       bigint NOT NULL DEFAULT 0,
    ended        bigint NOT NULL DEFAULT 0,
    removed      bigint NOT NULL DEFAULT 0,
    rejected     bigint NOT NULL DEFAULT 0,
    customers    bigint NOT NULL DEFAULT 0,
    accounts     bigint NOT NULL DEFAULT 0,
    sha256       bytea,           -- of the decoded body
    idempotency  bytea,           -- SHA-256 of the Idempotency-Key
    sequence     bigint,          -- Delivery-Sequence
    discarded    text,            -- what a rollback undid, the whole set first
    before       text,            -- how the set stood before a whole set
    records      bigint           -- of the set, once published
);
CREATE INDEX deliveries_of_set ON deliveries (set_id, id);
CREATE UNIQUE INDEX one_delivery_at_a_time ON deliveries (set_id) WHERE state = 0;
CREATE UNIQUE INDEX one_line_a_day ON deliveries (set_id, day) WHERE day IS NOT NULL;
CREATE INDEX deliveries_by_key ON deliveries (set_id, kind, idempotency) WHERE idempotency IS NOT NULL;

-- The first of a delivery's rejected lines.
CREATE TABLE rejects (
    delivery uuid NOT NULL,
    line     bigint NOT NULL,
    faults   text NOT NULL,
    PRIMARY KEY (delivery, line)
);

-- KFR calls that came while a whole set of their register was being uploaded, in the order of their customers.
CREATE TABLE pending_calls (
    set_id  integer NOT NULL,
    subject bytea NOT NULL,
    number  bigint NOT NULL,
    change  bytea NOT NULL,
    version bigint NOT NULL,      -- of the set, from which on the call is in force
    key     smallint NOT NULL,
    PRIMARY KEY (set_id, subject, number)
);

-- What was published, in commit order. Rows are only added; old ones go, never the last.
CREATE TABLE publications (
    number   bigint PRIMARY KEY,
    drawn    bytea NOT NULL,
    set_id   integer NOT NULL,
    version  bigint NOT NULL,
    sequence bigint NOT NULL,
    standing text NOT NULL,       -- how the set stands since
    delivery uuid,
    at       bigint NOT NULL,
    changed  bytea                -- tags of the customers and accounts that changed; absent: any may have
);
ALTER TABLE publications ALTER COLUMN changed SET STORAGE EXTERNAL;

-- What became of each transaction that was to be acknowledged. One whose outcome is not known is settled by the void row
-- of its id: either can be there, never both.
CREATE TABLE commits (
    id         uuid PRIMARY KEY,
    is_applied boolean NOT NULL,
    at         bigint NOT NULL
);
CREATE INDEX commits_by_time ON commits (at);

-- The pseudonym keys of rows.
CREATE TABLE keys (
    id          smallint PRIMARY KEY,
    fingerprint bytea NOT NULL UNIQUE,
    state       smallint NOT NULL       -- 0: instances have it, and nothing is made with it; 1: current; 2: sets are brought under it
);

-- When the clock of an instance's machine was last found to be right. One row.
CREATE TABLE clock (
    id      smallint PRIMARY KEY CHECK (id = 0),
    seen_at bigint NOT NULL,
    boot    text NOT NULL,        -- names the boot of the machine
    uptime  bigint NOT NULL       -- milliseconds since then
);
