-- Adds two tables; a server of the previous schema runs beside it. It knows no permissions, and refuses everyone who is not a
-- superuser.

CREATE TABLE groups (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    description  text NOT NULL DEFAULT '',
    -- The names of the administrative permissions of the members. A server may find names that it does not know: no
    -- constraint lists them, so that a later release can add some.
    permissions  text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- Its name tells the server which unique name is taken.
CREATE UNIQUE INDEX groups_name_key ON groups (lower(name COLLATE "C"));
-- Few groups hold permissions, and an account may be in many groups.
CREATE INDEX groups_permissions_idx ON groups (id) WHERE permissions <> '{}';

CREATE TABLE memberships (
    group_id    bigint NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    user_id     bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, user_id)
);

-- The groups of an account, and the cascade of its deletion.
CREATE INDEX memberships_user_id_idx ON memberships (user_id, group_id);
