-- The journal and its snapshots, schema 1. A reply waits for nothing but an insert into `journal`.

CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- The same in the tables: the two files belong together.
    instance INTEGER NOT NULL CHECK (instance BETWEEN 0 AND 4294967295)
) STRICT;

-- One committed batch of facts a record; the sequence has no gaps. Old ones are cut off.
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY CHECK (sequence > 0),
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- World and book as of a record. Written in slices, so that no append waits for a large one; this
-- row comes last, and slices without it do not count.
CREATE TABLE snapshots (
    sequence INTEGER PRIMARY KEY CHECK (sequence > 0),
    checksum INTEGER NOT NULL,
    slices INTEGER NOT NULL CHECK (slices > 0)
) STRICT;

CREATE TABLE snapshot_slices (
    snapshot INTEGER NOT NULL,
    n INTEGER NOT NULL CHECK (n >= 0),
    body BLOB NOT NULL,
    PRIMARY KEY (snapshot, n)
) STRICT;
