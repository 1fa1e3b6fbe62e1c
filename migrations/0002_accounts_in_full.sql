-- What accounts need beyond logging in: verified addresses, languages, devices, an audit that can be searched.
-- Adds, and loosens what would stand in the way; a server of the schema before goes on beside it. It answers 500 to who
-- was invited and has no password yet: they could not log in anyway.

ALTER TABLE users
    -- null: invited, and no password chosen yet. Nobody logs in by it.
    ALTER COLUMN password_hash DROP NOT NULL,
    -- BCP 47; null: the default of the service.
    ADD COLUMN locale text,
    -- When the owner was last known to read mail at this address, or an administrator vouched for it.
    ADD COLUMN email_verified_at timestamptz;

-- Until now every account was made by an administrator.
UPDATE users SET email_verified_at = created_at;

-- For lists: search by the beginning of a name, and the filters that few accounts pass.
CREATE INDEX users_name_idx ON users (lower(name COLLATE "C"));
CREATE INDEX users_superusers_idx ON users (id) WHERE is_superuser;
CREATE INDEX users_inactive_idx ON users (id) WHERE NOT is_active;
CREATE INDEX users_unverified_idx ON users (id) WHERE email_verified_at IS NULL;

ALTER TABLE sessions
    ADD COLUMN address text,
    ADD COLUMN user_agent text;

-- For housekeeping: an ended session goes when its access tokens have expired.
CREATE INDEX sessions_ended_idx ON sessions (access_tokens_expire_at) WHERE ended_at IS NOT NULL;

-- Devices that have logged in before. They have an allowance of their own where logins are limited, so that
-- nobody is locked out by somebody else's attempts.
CREATE TABLE devices (
    -- SHA-256 of what the device's cookie holds.
    token_hash    bytea PRIMARY KEY,
    user_id       bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX devices_user_id_idx ON devices (user_id);
CREATE INDEX devices_last_used_at_idx ON devices (last_used_at);

ALTER TABLE one_time_tokens
    -- The address that the token was mailed to, where it proves that somebody reads mail there.
    ADD COLUMN mailed_to text,
    DROP CONSTRAINT one_time_tokens_purpose_check,
    ADD CONSTRAINT one_time_tokens_purpose_check
        CHECK (purpose IN ('password_reset', 'email_verification', 'email_change', 'invitation'));

CREATE INDEX one_time_tokens_expires_at_idx ON one_time_tokens (expires_at);

-- A message of a kind that a server does not know waits for one that does, so the table need not know them all.
ALTER TABLE outbox
    DROP CONSTRAINT outbox_kind_check,
    ADD COLUMN user_id bigint REFERENCES users (id) ON DELETE CASCADE,
    ADD COLUMN locale text,
    -- What the text needs beside the recipient; never a secret.
    ADD COLUMN data jsonb NOT NULL DEFAULT '{}';

CREATE INDEX outbox_user_id_idx ON outbox (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX outbox_dead_at_idx ON outbox (dead_at) WHERE dead_at IS NOT NULL;

-- user_id is whom it was done to; who did it may be another, or nobody known.
ALTER TABLE audit_events
    ADD COLUMN actor_id bigint,
    ADD COLUMN outcome text NOT NULL DEFAULT 'success',
    ADD COLUMN address text,
    ADD COLUMN user_agent text;

CREATE INDEX audit_events_actor_id_idx ON audit_events (actor_id, id);
CREATE INDEX audit_events_kind_idx ON audit_events (kind, id);
CREATE INDEX audit_events_outcome_idx ON audit_events (outcome, id);
CREATE INDEX audit_events_request_id_idx ON audit_events (request_id);
CREATE INDEX audit_events_at_idx ON audit_events (at);
