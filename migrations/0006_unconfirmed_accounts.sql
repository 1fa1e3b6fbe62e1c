-- Adds a column and an index; a server of the previous schema runs beside it. The accounts that are registered with such a
-- server meanwhile do not expire.

-- Whether the account was registered by its owner, who has neither verified the address nor logged in since. Such an account
-- expires, so that it does not keep its names forever.
ALTER TABLE users ADD COLUMN unconfirmed boolean NOT NULL DEFAULT false;

UPDATE users SET unconfirmed = true
WHERE email_verified_at IS NULL AND NOT is_superuser
  AND EXISTS (SELECT FROM audit_events
              WHERE audit_events.user_id = users.id AND kind = 'registered' AND outcome = 'success')
  AND NOT EXISTS (SELECT FROM audit_events
                  WHERE audit_events.user_id = users.id AND kind = 'login' AND outcome = 'success')
  AND NOT EXISTS (SELECT FROM sessions WHERE sessions.user_id = users.id);

CREATE INDEX users_unconfirmed_idx ON users (created_at) WHERE unconfirmed;
