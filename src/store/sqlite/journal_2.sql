-- Schema 2: beside World a snapshot has the tails of the logs of calls that are up: lines that are in no
-- row of the tables yet. They follow World's slices under the numbers from `slices` on. NULL: written
-- when every line still became a row at once.
ALTER TABLE snapshots ADD COLUMN tails_checksum INTEGER;
ALTER TABLE snapshots ADD COLUMN tails_slices INTEGER CHECK (tails_slices > 0);
