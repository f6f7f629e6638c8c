-- One row a bank and register. Times are milliseconds since 1970, days are days since 1970-01-01.
CREATE TABLE sets (
    id            INTEGER PRIMARY KEY,
    bank          INTEGER NOT NULL,
    register      INTEGER NOT NULL,             -- 0 KAR, 1 KFR
    version       INTEGER NOT NULL DEFAULT 0,   -- the one that answers
    kept_from     INTEGER NOT NULL DEFAULT 0,   -- the oldest whose rows are still whole
    loaded        INTEGER NOT NULL DEFAULT 0,
    last_delivery INTEGER,
    records       INTEGER NOT NULL DEFAULT 0,
    running       INTEGER NOT NULL DEFAULT 0,   -- of them, on the day they were counted
    sequence      INTEGER NOT NULL DEFAULT 0,   -- the Delivery-Sequence that was published last
    whole_set     BLOB,                         -- the delivery that stands, with what changed it since
    merging       INTEGER NOT NULL DEFAULT 0,   -- rows of the next version are being written
    key           INTEGER NOT NULL,             -- of its rows; rows of another key are seen by nobody
    mixed         INTEGER NOT NULL DEFAULT 0,   -- there may be rows of another key: a rekey copies or clears
    UNIQUE (bank, register)
);

-- One row a record and version. In force at version v: since <= v, and until absent or > v.
CREATE TABLE relationships (
    subject   BLOB NOT NULL,      -- the customer, sealed
    set_id    INTEGER NOT NULL,
    agreement BLOB NOT NULL,      -- the account or reference, sealed; empty at customer level
    from_day  INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    until     INTEGER,
    terms     INTEGER NOT NULL,   -- format version, kind of agreement, role, creditable, holdsFunds
    to_day    INTEGER,
    key       INTEGER NOT NULL,   -- that subject and agreement are sealed with
    PRIMARY KEY (subject, set_id, agreement, from_day, since)
) WITHOUT ROWID;

-- Whose records carry an account: where to look in relationships, which says whether they still do.
CREATE TABLE accounts (
    tag     BLOB NOT NULL,        -- the first bytes of the sealed account
    set_id  INTEGER NOT NULL,
    subject BLOB NOT NULL,
    key     INTEGER NOT NULL,
    PRIMARY KEY (tag, set_id, subject)
) WITHOUT ROWID;

-- Receipts.
CREATE TABLE deliveries (
    id           BLOB PRIMARY KEY,
    set_id       INTEGER NOT NULL,
    kind         INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    published_at INTEGER,
    version      INTEGER,         -- of the set, once published
    reason       TEXT,            -- why it was rejected or abandoned
    day          INTEGER,         -- of KFR calls
    calls        INTEGER NOT NULL DEFAULT 0,
    read         INTEGER NOT NULL DEFAULT 0,
    stored       INTEGER NOT NULL DEFAULT 0,
    ended        INTEGER NOT NULL DEFAULT 0,
    removed      INTEGER NOT NULL DEFAULT 0,
    rejected     INTEGER NOT NULL DEFAULT 0,
    customers    INTEGER NOT NULL DEFAULT 0,
    accounts     INTEGER NOT NULL DEFAULT 0,
    sha256       BLOB,            -- of the decoded body
    idempotency  BLOB,            -- SHA-256 of the Idempotency-Key
    sequence     INTEGER,         -- Delivery-Sequence
    discarded    TEXT,            -- what a rollback undid, the whole set first
    before       TEXT,            -- how the set stood before a whole set
    records      INTEGER          -- of the set, once published
) WITHOUT ROWID;
CREATE INDEX deliveries_of_set ON deliveries (set_id, id);
CREATE UNIQUE INDEX one_delivery_at_a_time ON deliveries (set_id) WHERE state = 0;
CREATE UNIQUE INDEX one_line_a_day ON deliveries (set_id, day) WHERE day IS NOT NULL;
CREATE INDEX deliveries_by_key ON deliveries (set_id, kind, idempotency) WHERE idempotency IS NOT NULL;

-- The first of a delivery's rejected lines.
CREATE TABLE rejects (
    delivery BLOB NOT NULL,
    line     INTEGER NOT NULL,
    faults   TEXT NOT NULL,
    PRIMARY KEY (delivery, line)
) WITHOUT ROWID;

-- KFR calls that came while a whole set of their register was being uploaded, in the order of their customers.
CREATE TABLE pending_calls (
    set_id  INTEGER NOT NULL,
    subject BLOB NOT NULL,
    number  INTEGER NOT NULL,
    change  BLOB NOT NULL,
    version INTEGER NOT NULL,     -- of the set, from which on the call is in force
    key     INTEGER NOT NULL,
    PRIMARY KEY (set_id, subject, number)
) WITHOUT ROWID;

-- What was published, in commit order. Rows are only added; old ones go, never the last.
CREATE TABLE publications (
    number   INTEGER PRIMARY KEY,
    drawn    BLOB NOT NULL,
    set_id   INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    delivery BLOB,
    at       INTEGER NOT NULL,
    changed  BLOB                 -- tags of the customers and accounts that changed; absent: any may have
);

-- The pseudonym keys of rows: one, or two while a rekey is wanted or under way. Former ones are gone from here.
CREATE TABLE keys (
    id          INTEGER PRIMARY KEY,   -- as rows have it: 0 or 1, which take no room
    fingerprint BLOB NOT NULL UNIQUE,
    state       INTEGER NOT NULL       -- 0: the service has it, and nothing is made with it; 1: current; 2: sets are brought under it
);

-- When the machine's clock was last found to be right. One row.
CREATE TABLE clock (
    id        INTEGER PRIMARY KEY CHECK (id = 0),
    seen_at   INTEGER NOT NULL,
    boot      TEXT NOT NULL,           -- names the boot of the machine
    uptime    INTEGER NOT NULL         -- milliseconds since then
);
