-- The latest events, kept for people at the gateway when the cloud has long confirmed them.
CREATE TABLE event_log (
  row     INTEGER PRIMARY KEY AUTOINCREMENT,
  printer TEXT NOT NULL,
  payload TEXT NOT NULL              -- the message as it was stored to be sent
) STRICT;
CREATE INDEX event_log_printer ON event_log (printer, row);
