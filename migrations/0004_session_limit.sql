-- Adds an index; a server of the previous schema runs beside it.

-- For the limit of sessions: the active sessions of an account, by age. An account that logs in often has many ended
-- sessions, which are kept until their access tokens expire.
CREATE INDEX sessions_active_idx ON sessions (user_id, created_at) WHERE ended_at IS NULL;
