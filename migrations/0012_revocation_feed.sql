-- Adds a sequence, a column and two tables; a server of the previous schema runs beside it. The clients that such a server
-- sees removed are recorded by the others.

-- The place of a revocation in the feed for verifiers that do not ask for each token. Null until somebody reads the feed:
-- a reader assigns the next positions to all committed rows, under a lock that it holds until its commit, so that a row
-- that is committed later never gets a lower position.
CREATE SEQUENCE revocation_feed_position;
ALTER TABLE revocations ADD COLUMN feed_position bigint;

-- The credentials of the client registry with the highest serial that a server has loaded. One that is missing from the
-- next registry was removed: its id is then added to the revocations, for as long as its tokens live.
CREATE TABLE client_credentials (
    id  uuid PRIMARY KEY
);
CREATE TABLE client_registry (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    serial    bigint NOT NULL DEFAULT -1
);
INSERT INTO client_registry DEFAULT VALUES;
