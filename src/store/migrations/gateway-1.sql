-- Everything but jobs: printers, shadows, the outbox for the rest.
CREATE TABLE printer (
  id   TEXT PRIMARY KEY,
  body TEXT NOT NULL                 -- the registry's row as JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE shadow (
  printer   TEXT PRIMARY KEY,
  latest    TEXT NOT NULL,           -- what `reported` should be
  confirmed TEXT NOT NULL DEFAULT '{}' -- what the cloud is known to have
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
  row     INTEGER PRIMARY KEY AUTOINCREMENT,
  class   TEXT NOT NULL,             -- event | status | telemetry | gateway
  message TEXT NOT NULL UNIQUE,      -- the payload's `id`; for telemetry a name of the record
  topic   TEXT NOT NULL,             -- empty for telemetry records: they share a message
  payload BLOB NOT NULL,
  at      INTEGER NOT NULL,          -- seconds since 1970
  wedged  TEXT                       -- why it is set aside
) STRICT;
CREATE INDEX outbox_class ON outbox (class, row) WHERE wedged IS NULL;

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
