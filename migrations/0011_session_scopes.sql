-- Adds a column; a server of the previous schema runs beside it, and signs access tokens without scopes.

-- What the client of the session was granted at the login. NULL: the session did not begin with a registered client, and none
-- gets scopes for it.
ALTER TABLE sessions ADD COLUMN scopes text[];
