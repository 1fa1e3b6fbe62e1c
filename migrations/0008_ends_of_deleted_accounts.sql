-- Adds a column and removes two constraints; servers of earlier schemas run beside it. The sessions of an account that such
-- a server deletes meanwhile stay until their tokens have expired; they have ended.

-- The account of the session. It may have been deleted when its revocations are announced again. Null in rows of earlier
-- servers.
ALTER TABLE revocations ADD COLUMN user_id bigint;

-- A request cannot delete the sessions of an account that has very many of them. They are deleted in the background, and
-- until then the cutoff of the account ends them.
ALTER TABLE sessions DROP CONSTRAINT sessions_user_id_fkey;
ALTER TABLE session_cutoffs DROP CONSTRAINT session_cutoffs_user_id_fkey;
