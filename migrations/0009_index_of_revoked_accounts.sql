-- no-transaction
-- Adds an index; a server of the previous schema runs beside it.

-- For the revocations of an account that was deleted: nothing else leads to them.
CREATE INDEX CONCURRENTLY revocations_user_id_idx ON revocations (user_id, revoked_at) WHERE user_id IS NOT NULL;
