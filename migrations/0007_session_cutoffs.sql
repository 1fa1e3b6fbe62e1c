-- Adds a table; a server of the previous schema runs beside it. While one is connected, no row is written.

-- Accounts of which more sessions were ended than a request can end one by one. While the row exists, the sessions that began
-- until the cutoff are over, except the one that is kept. A server then ends them one by one, with their revocations, and
-- removes the row.
CREATE TABLE session_cutoffs (
    user_id          bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    cutoff           timestamptz NOT NULL,
    kept_session_id  uuid
);
