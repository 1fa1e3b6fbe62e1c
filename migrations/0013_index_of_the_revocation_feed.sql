-- no-transaction
-- Adds an index; a server of the previous schema runs beside it.

-- For the pages of the feed, and for the rows without a position.
CREATE INDEX CONCURRENTLY revocations_feed_position_idx ON revocations (feed_position);
