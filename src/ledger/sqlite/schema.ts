/**
 * Migrations by number: the n-th brings a database from `user_version` n to n + 1. One that was released is never
 * edited. Times are epoch ms, hashes hexadecimal, so that `sqlite3 ledger.db` is readable.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    series_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    -- The widest slice so far: how far before a range a slice that reaches into it can start.
    span_ms INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 0,
    UNIQUE (series_id, endpoint)
  ) STRICT;

  CREATE TABLE slice (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL REFERENCES series (id),
    slice_id TEXT NOT NULL,
    key TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    row_limit INTEGER NOT NULL,
    status TEXT NOT NULL,
    http_status INTEGER,
    items INTEGER NOT NULL,
    first_ms INTEGER,
    last_ms INTEGER,
    requested_ms INTEGER,
    completed_ms INTEGER,
    error TEXT,
    sha256 TEXT,
    venue_ms INTEGER,
    findings TEXT,
    UNIQUE (series, slice_id)
  ) STRICT;

  -- Holds all that planning asks for, so that a million slices are judged without touching their rows.
  CREATE INDEX slice_by_time ON slice (series, start_ms, end_ms, id, status, sha256);

  CREATE INDEX slice_notable ON slice (series, start_ms, end_ms, id)
    WHERE status <> 'ok' OR findings IS NOT NULL;

  CREATE TABLE store (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
  ) STRICT;

  -- No foreign key to slice: checking one would need a second index as large as this table.
  CREATE TABLE stored (
    store INTEGER NOT NULL REFERENCES store (id),
    slice INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    PRIMARY KEY (store, slice)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE wanted (
    series INTEGER NOT NULL REFERENCES series (id),
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    PRIMARY KEY (series, start_ms)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE fact (
    series INTEGER NOT NULL REFERENCES series (id),
    name TEXT NOT NULL,
    fact TEXT NOT NULL,
    PRIMARY KEY (series, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE run (
    run_id TEXT PRIMARY KEY,
    command TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    exit_code INTEGER,
    report TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE INDEX run_by_start ON run (started_ms, run_id);
  `,
  `
  CREATE TABLE stored_file (
    store INTEGER NOT NULL REFERENCES store (id),
    series INTEGER NOT NULL REFERENCES series (id),
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    path TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (store, series, start_ms, path)
  ) STRICT, WITHOUT ROWID;
  `,
]

export const SCHEMA_VERSION = migrations.length

/** `evbr`: tells our database from any other SQLite file. */
export const APPLICATION_ID = 0x65766272
