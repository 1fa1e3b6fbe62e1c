-- Adds a column; a server of the previous schema runs beside it and takes every device for a browser's.

-- Programs get a device credential from /token. Those that discard it get a new one with each login; they must not displace
-- the devices of browsers.
ALTER TABLE devices ADD COLUMN is_program boolean NOT NULL DEFAULT false;
