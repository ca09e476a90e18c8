-- Schema 2: beside World a snapshot has the tails of the logs of calls that are up: lines that are in no
-- row of the tables yet. They follow World's slices under the numbers from `slices` on. A snapshot
-- without them is of a format that is refused.
ALTER TABLE snapshots ADD COLUMN tails_checksum INTEGER;
ALTER TABLE snapshots ADD COLUMN tails_slices INTEGER CHECK (tails_slices > 0);
