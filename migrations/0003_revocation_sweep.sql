-- What a replica needs to find revocations that nobody announced, and to keep apart the services that share one Redis.
-- Only adds; a server of the schema before goes on beside it.

-- The transaction that revoked the session. A replica that has copied every revocation of a snapshot to Redis only
-- has to look at those of transactions that were running then or began later, however long ago that was. A time
-- could not tell: a transaction commits later than it says. Null in the rows that were there before, so that the table
-- is not rewritten: every replica that sweeps begins with all rows.
ALTER TABLE revocations ADD COLUMN transaction_id bigint;
ALTER TABLE revocations ALTER COLUMN transaction_id SET DEFAULT (pg_current_xact_id()::text::bigint);

CREATE INDEX revocations_transaction_id_idx ON revocations (transaction_id);

-- By it this service's keys are told from those of others that use the same Redis.
ALTER TABLE revocation_state ADD COLUMN service_id uuid NOT NULL DEFAULT gen_random_uuid();
