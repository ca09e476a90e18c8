-- The tables for people and reports, schema 1. Written behind the journal by one thread; rates by the
-- operators' side, before the journal tells of them. Amounts are micro-units of the party's currency,
-- rates nano-units a minute, instants milliseconds since 1970 in UTC. No secret is ever in here.

CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- The same in the journal: the two files belong together.
    instance INTEGER NOT NULL CHECK (instance BETWEEN 0 AND 4294967295),
    -- The last record of the journal that is in these tables.
    projected_sequence INTEGER NOT NULL CHECK (projected_sequence >= 0)
) STRICT;

CREATE TRIGGER tables_only_go_forward BEFORE UPDATE OF projected_sequence ON meta
WHEN NEW.projected_sequence < OLD.projected_sequence
BEGIN SELECT RAISE(ABORT, 'the tables only go forward'); END;

-- What operators write. What was removed stays, marked, because records still tell of it.

CREATE TABLE parties (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL CHECK (length(id) > 0),
    kind TEXT NOT NULL CHECK (kind IN ('customer', 'reseller')),
    name TEXT NOT NULL,
    parent INTEGER,
    tariff INTEGER NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    credit_limit INTEGER NOT NULL CHECK (credit_limit >= 0),
    calls_max INTEGER CHECK (calls_max >= 0),
    attempts_per_second_max INTEGER CHECK (attempts_per_second_max >= 0),
    spend_per_day_max INTEGER,
    blocked INTEGER NOT NULL CHECK (blocked IN (0, 1)),
    no_credit TEXT NOT NULL CHECK (no_credit IN ('reject', 'hotline')),
    number_rules TEXT NOT NULL CHECK (json_valid(number_rules)),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1)),
    CHECK (parent IS NULL OR parent <> key)
) STRICT;
CREATE UNIQUE INDEX parties_by_id ON parties (id) WHERE removed = 0;

CREATE TABLE accounts (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL CHECK (length(id) > 0),
    customer INTEGER NOT NULL,
    has_password INTEGER NOT NULL CHECK (has_password IN (0, 1)),
    trusted_addresses TEXT NOT NULL CHECK (json_valid(trusted_addresses)),
    ani TEXT NOT NULL CHECK (json_valid(ani)),
    calls_max INTEGER CHECK (calls_max >= 0),
    attempts_per_second_max INTEGER CHECK (attempts_per_second_max >= 0),
    blocked INTEGER NOT NULL CHECK (blocked IN (0, 1)),
    number_rules TEXT NOT NULL CHECK (json_valid(number_rules)),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX accounts_by_id ON accounts (id) WHERE removed = 0;
CREATE INDEX accounts_by_customer ON accounts (customer);

CREATE TABLE nases (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL CHECK (length(id) > 0),
    address TEXT NOT NULL,
    dialect TEXT NOT NULL,
    guard TEXT NOT NULL CHECK (guard IN ('chunk', 'extend', 'full')),
    calls_max INTEGER CHECK (calls_max >= 0),
    disconnect_address TEXT,
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX nases_by_id ON nases (id) WHERE removed = 0;

CREATE TABLE tariffs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL CHECK (length(id) > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    version INTEGER NOT NULL CHECK (version >= 0),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX tariffs_by_id ON tariffs (id) WHERE removed = 0;

CREATE TABLE carriers (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL CHECK (length(id) > 0),
    tariff INTEGER NOT NULL,
    calls_max INTEGER CHECK (calls_max >= 0),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX carriers_by_id ON carriers (id) WHERE removed = 0;

CREATE TABLE connections (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL CHECK (length(id) > 0),
    carrier INTEGER NOT NULL,
    addresses TEXT NOT NULL CHECK (json_valid(addresses)),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX connections_by_id ON connections (id) WHERE removed = 0;

-- Rates: a version of a tariff is written whole and never changed.

CREATE TABLE tariff_versions (
    tariff INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    rates INTEGER NOT NULL CHECK (rates >= 0),
    checksum INTEGER NOT NULL,
    PRIMARY KEY (tariff, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE rates (
    tariff INTEGER NOT NULL,
    version INTEGER NOT NULL,
    n INTEGER NOT NULL CHECK (n >= 0),
    prefix TEXT NOT NULL CHECK (length(prefix) <= 32 AND prefix NOT GLOB '*[^0-9]*'),
    destination TEXT NOT NULL,
    rate INTEGER NOT NULL CHECK (rate BETWEEN 0 AND 1000000000000000),
    connect_fee INTEGER NOT NULL CHECK (connect_fee >= 0),
    first INTEGER NOT NULL CHECK (first >= 1),
    next INTEGER NOT NULL CHECK (next >= 1),
    grace INTEGER NOT NULL CHECK (grace >= 0),
    forbidden INTEGER NOT NULL CHECK (forbidden IN (0, 1)),
    effective_from INTEGER,
    effective_until INTEGER,
    PRIMARY KEY (tariff, version, n),
    FOREIGN KEY (tariff, version) REFERENCES tariff_versions (tariff, version),
    CHECK (effective_from IS NULL OR effective_until IS NULL OR effective_from < effective_until)
) STRICT, WITHOUT ROWID;

-- Money. Entries are never changed or deleted; a correction is a new one.

CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    party INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL
        CHECK (kind IN ('opening', 'topup', 'adjustment', 'charge', 'overrun', 'correction', 'refund')),
    amount INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    call INTEGER,
    cdr INTEGER,
    note TEXT NOT NULL,
    idempotency_key TEXT,
    by TEXT NOT NULL,
    UNIQUE (party, idempotency_key)
) STRICT;
CREATE INDEX entries_by_party ON entries (party, at, id);
CREATE INDEX entries_by_cdr ON entries (cdr) WHERE cdr IS NOT NULL;

CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END;
CREATE TRIGGER entries_are_not_deleted BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never deleted'); END;

-- For each party the sum and number of its entries, so that a start need not add them all up.
CREATE TABLE party_totals (
    party INTEGER PRIMARY KEY,
    balance INTEGER NOT NULL,
    entries INTEGER NOT NULL CHECK (entries > 0)
) STRICT;

-- Calls that are over. A record is never changed or deleted.

CREATE TABLE cdrs (
    id INTEGER PRIMARY KEY,
    call INTEGER NOT NULL,
    record TEXT NOT NULL CHECK (record IN ('charge', 'correction', 'refund')),
    result TEXT NOT NULL,
    nas INTEGER NOT NULL,
    session_id BLOB NOT NULL,
    conf_id BLOB CHECK (length(conf_id) = 16),
    user_name BLOB NOT NULL,
    account INTEGER,
    customer INTEGER,
    caller TEXT NOT NULL,
    called TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    connected_at INTEGER,
    ended_at INTEGER NOT NULL,
    seconds INTEGER NOT NULL CHECK (seconds >= 0),
    billed_seconds INTEGER NOT NULL CHECK (billed_seconds >= 0),
    reason TEXT NOT NULL,
    cause INTEGER CHECK (cause BETWEEN 0 AND 65535),
    flags TEXT NOT NULL,
    carrier INTEGER,
    connection INTEGER,
    cost INTEGER,
    cost_currency TEXT CHECK (length(cost_currency) = 3),
    CHECK ((cost IS NULL) = (cost_currency IS NULL))
) STRICT;
CREATE INDEX cdrs_by_end ON cdrs (ended_at, id);
CREATE INDEX cdrs_by_customer ON cdrs (customer, ended_at, id);
CREATE INDEX cdrs_by_account ON cdrs (account, ended_at, id);
CREATE INDEX cdrs_by_caller ON cdrs (caller, ended_at, id);
CREATE INDEX cdrs_by_called ON cdrs (called, ended_at, id);
CREATE INDEX cdrs_by_session ON cdrs (session_id);
CREATE INDEX cdrs_by_conference ON cdrs (conf_id) WHERE conf_id IS NOT NULL;
CREATE INDEX cdrs_by_call ON cdrs (call);

CREATE TRIGGER cdrs_are_not_changed BEFORE UPDATE ON cdrs
BEGIN SELECT RAISE(ABORT, 'a record is never changed'); END;
CREATE TRIGGER cdrs_are_not_deleted BEFORE DELETE ON cdrs
BEGIN SELECT RAISE(ABORT, 'a record is never deleted'); END;

-- What each payer pays for a record: the customer is 0, its reseller 1, and so on.
CREATE TABLE charges (
    cdr INTEGER NOT NULL REFERENCES cdrs (id),
    n INTEGER NOT NULL CHECK (n >= 0),
    party INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    rate INTEGER CHECK (rate >= 0),
    connect_fee INTEGER CHECK (connect_fee >= 0),
    first INTEGER CHECK (first >= 1),
    next INTEGER CHECK (next >= 1),
    grace INTEGER CHECK (grace >= 0),
    prefix TEXT NOT NULL,
    destination TEXT NOT NULL,
    PRIMARY KEY (cdr, n),
    CHECK ((rate IS NULL) = (connect_fee IS NULL) AND (rate IS NULL) = (first IS NULL)
        AND (rate IS NULL) = (next IS NULL) AND (rate IS NULL) = (grace IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX charges_by_party ON charges (party, cdr);

CREATE TRIGGER charges_are_not_changed BEFORE UPDATE ON charges
BEGIN SELECT RAISE(ABORT, 'a charge is never changed'); END;
CREATE TRIGGER charges_are_not_deleted BEFORE DELETE ON charges
BEGIN SELECT RAISE(ABORT, 'a charge is never deleted'); END;

-- Each call as it was when it ended, for a packet that comes after it has left memory.
CREATE TABLE ended_calls (
    call INTEGER PRIMARY KEY,
    nas INTEGER NOT NULL,
    key BLOB,
    session_id BLOB NOT NULL,
    conf_id BLOB CHECK (length(conf_id) = 16),
    body BLOB NOT NULL
) STRICT;
CREATE INDEX ended_calls_by_key ON ended_calls (nas, key) WHERE key IS NOT NULL;
CREATE INDEX ended_calls_by_session ON ended_calls (session_id);
CREATE INDEX ended_calls_by_conference ON ended_calls (conf_id) WHERE conf_id IS NOT NULL;

-- What happened. Kept for a time.

CREATE TABLE call_log (
    id INTEGER PRIMARY KEY,
    call INTEGER NOT NULL,
    at INTEGER NOT NULL,
    lines INTEGER NOT NULL CHECK (lines >= 0),
    -- Lines after these were not kept.
    cut INTEGER NOT NULL CHECK (cut IN (0, 1)),
    body BLOB NOT NULL
) STRICT;
CREATE INDEX call_log_by_call ON call_log (call, id);

CREATE TABLE rejections (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    reason TEXT NOT NULL,
    nas INTEGER NOT NULL,
    account INTEGER,
    session_id BLOB NOT NULL,
    conf_id BLOB CHECK (length(conf_id) = 16),
    caller TEXT NOT NULL,
    called TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX rejections_by_time ON rejections (at, id);
CREATE INDEX rejections_by_account ON rejections (account, id) WHERE account IS NOT NULL;
CREATE INDEX rejections_by_session ON rejections (session_id);

-- Who changed what. Kept for good.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    kind TEXT NOT NULL,
    about TEXT NOT NULL,
    action TEXT NOT NULL,
    fields TEXT NOT NULL CHECK (json_valid(fields))
) STRICT;
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_thing ON audit (kind, about, id);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is never changed'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is never deleted'); END;
