-- The job book, and the statuses that wait to be sent: one file, so that a transition and its status commit together.
CREATE TABLE job (
  arrival    INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT NOT NULL UNIQUE,
  printer    TEXT NOT NULL,
  state      TEXT NOT NULL,          -- name of the state, as on the wire
  live       INTEGER NOT NULL,       -- 1: the owner keeps it in memory (not final, or its document is kept for a resend)
  updated_at INTEGER NOT NULL,       -- seconds since 1970
  body       TEXT NOT NULL           -- domain::job::Job as JSON
) STRICT;
CREATE INDEX job_live ON job (arrival) WHERE live = 1;
CREATE INDEX job_done ON job (updated_at) WHERE live = 0;

CREATE TABLE transition (
  job     TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  at      TEXT NOT NULL,             -- RFC 3339
  state   TEXT NOT NULL,
  detail  TEXT,
  PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE status_outbox (
  row     INTEGER PRIMARY KEY AUTOINCREMENT,
  job     TEXT,                      -- null: an answer to something that never became a job
  message TEXT NOT NULL UNIQUE,      -- the payload's `id`
  topic   TEXT NOT NULL,
  payload BLOB NOT NULL,
  at      INTEGER NOT NULL,          -- seconds since 1970
  wedged  TEXT                       -- why it is set aside
) STRICT;
CREATE INDEX status_outbox_job ON status_outbox (job, row) WHERE wedged IS NULL;

CREATE TABLE command (
  id TEXT PRIMARY KEY,               -- commandId
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
