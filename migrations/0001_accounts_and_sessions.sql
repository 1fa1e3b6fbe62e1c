-- Accounts, sessions, refresh tokens, revocations, one-time tokens, outbox and audit.
-- Times are timestamptz and come from the database's own clock, so that replicas need not agree on theirs.

CREATE TABLE users (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username            text NOT NULL,
    email               text NOT NULL,
    name                text NOT NULL,
    password_hash       text NOT NULL,
    is_superuser        boolean NOT NULL DEFAULT false,
    is_active           boolean NOT NULL DEFAULT true,
    created_at          timestamptz NOT NULL DEFAULT now(),
    password_changed_at timestamptz NOT NULL DEFAULT now()
);

-- The constraint's name is what tells the client which of the two is taken. Both are ASCII, and compared as
-- such: in a Turkish locale lower('I') is not 'i'.
CREATE UNIQUE INDEX users_username_key ON users (lower(username COLLATE "C"));
CREATE UNIQUE INDEX users_email_key ON users (lower(email COLLATE "C"));

CREATE TABLE sessions (
    id                       uuid PRIMARY KEY,
    user_id                  bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at               timestamptz NOT NULL DEFAULT now(),
    last_used_at             timestamptz NOT NULL DEFAULT now(),
    -- When the last access token of this session expires: as long a revocation must be remembered.
    access_tokens_expire_at  timestamptz NOT NULL,
    -- When the current refresh token expires.
    expires_at               timestamptz NOT NULL,
    ended_at                 timestamptz
);

-- Ended ones too: deleting an account looks for all of its sessions.
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- The generations of a session's refresh token that still matter: the current one (rotated_at is null) and
-- those rotated within the grace period. A signed token that is not here was rotated long ago.
CREATE TABLE refresh_tokens (
    jti         uuid PRIMARY KEY,
    session_id  uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at   timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    rotated_at  timestamptz
);

CREATE UNIQUE INDEX refresh_tokens_current_key ON refresh_tokens (session_id) WHERE rotated_at IS NULL;
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);

-- Sessions whose access tokens must no longer be accepted, for as long as one could still be unexpired.
-- No foreign key: a revocation outlives the session and the user it speaks of.
CREATE TABLE revocations (
    session_id  uuid PRIMARY KEY,
    revoked_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);

CREATE INDEX revocations_expires_at_idx ON revocations (expires_at);
CREATE INDEX revocations_revoked_at_idx ON revocations (revoked_at);

-- One row. redis_epoch names the marker that a Redis must show to be trusted; null: none may be.
-- generation counts the revocations that could not be written to a trusted Redis, so that a refill that
-- began before one of them never completes.
CREATE TABLE revocation_state (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    redis_epoch  text,
    -- The marker that a filling under way will set.
    filling      text,
    generation   bigint NOT NULL DEFAULT 0,
    changed_at   timestamptz NOT NULL DEFAULT now(),
    -- Tokens that were issued before speak of another database, in which the same id may have been another
    -- account: this one was made anew, or restored (then it is to be set to the time of that).
    tokens_valid_from timestamptz NOT NULL DEFAULT now()
);

INSERT INTO revocation_state DEFAULT VALUES;

CREATE TABLE one_time_tokens (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    purpose     text NOT NULL CHECK (purpose IN ('password_reset')),
    -- SHA-256 of the token: a copy of the database lets nobody in.
    token_hash  bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);

CREATE UNIQUE INDEX one_time_tokens_token_hash_key ON one_time_tokens (token_hash);
CREATE INDEX one_time_tokens_user_id_idx ON one_time_tokens (user_id, purpose);

-- Mail to be sent. A row names what to say and to whom; the text, and the one-time token in it, are made when
-- it is sent, so that no token stands here in clear.
CREATE TABLE outbox (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('password_recovery', 'password_changed')),
    -- The address as it was asked for; whether an account has it is found out when it is sent.
    recipient        text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    attempts         integer NOT NULL DEFAULT 0,
    -- Also the lease of the replica that is sending it.
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    last_error       text,
    dead_at          timestamptz
);

CREATE INDEX outbox_due_idx ON outbox (next_attempt_at) WHERE dead_at IS NULL;

-- Who did what, when, from where. No foreign keys: the record outlives what it speaks of.
CREATE TABLE audit_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    kind        text NOT NULL,
    user_id     bigint,
    session_id  uuid,
    request_id  text,
    detail      jsonb NOT NULL DEFAULT '{}'
);

CREATE INDEX audit_events_user_id_idx ON audit_events (user_id, id);
