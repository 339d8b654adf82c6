-- The schema, version 1. Applied in one transaction by jobbersd/store/migrate.c; never edited once released: changes are new files.
--
-- Times are wall microseconds, 0 for "not set". Enumerations are integers:
--   status        1 submitted  2 scheduled  3 started  4 completed  5 failed  6 cancelled  7 stalled  8 dropped (4 and up are final)
--   stop_reason   0 none  1 cancelled  2 shutdown  3 timeout  4 stalled
--   end_reason    0 none  1 exit  2 signal  3 oom  4 timeout  5 stalled  6 cancelled  7 shutdown  8 host-lost
--   rate_period   0 none  1 second  2 minute  3 hour  4 day

-- epoch, clean, seq, position: see store.c.
CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value
) WITHOUT ROWID;

-- A lane is a queue, name and version that tasks share. There are few of them and the store holds all in memory, so that rows and index
-- entries carry a small number instead of two names, and any list filter is a choice of lanes.
CREATE TABLE lanes (
        lane INTEGER PRIMARY KEY,
        queue TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL
);

CREATE TABLE tasks (
        seq INTEGER PRIMARY KEY,        -- order of submission
        id BLOB NOT NULL,               -- 16 bytes
        lane INTEGER NOT NULL,
        rank INTEGER NOT NULL,          -- minus the priority: one ascending index then gives the order in a lane
        position INTEGER NOT NULL,
        status INTEGER NOT NULL,
        retry_attempt INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        stop_reason INTEGER NOT NULL,
        submitted_at INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        retried_at INTEGER NOT NULL,
        heartbeat_at INTEGER NOT NULL,
        completed_at INTEGER NOT NULL,
        scheduled_at INTEGER NOT NULL,
        run_at INTEGER NOT NULL,
        dead_at INTEGER NOT NULL,       -- 0: not in the dead letter queue
        progress INTEGER NOT NULL,      -- -1: none
        status_text TEXT,
        last_error TEXT,
        results TEXT,
        parameters TEXT                 -- last, so that reads without it stop before; NULL: in large_parameters
);

-- Each of these is updated up to three times in a task's life, so there are no more of them than it takes.
CREATE UNIQUE INDEX tasks_id ON tasks (id);
-- Every list: the rows of one lane and status, by seq (the rowid that ends every entry).
CREATE INDEX tasks_list ON tasks (lane, status);
CREATE INDEX tasks_ready ON tasks (lane, rank, position) WHERE status = 1;
CREATE INDEX tasks_due ON tasks (scheduled_at) WHERE status = 2;
CREATE INDEX tasks_final ON tasks (completed_at) WHERE status >= 4 AND dead_at = 0;
CREATE INDEX tasks_dead ON tasks (dead_at) WHERE dead_at > 0;
CREATE INDEX tasks_dead_list ON tasks (lane, status) WHERE dead_at > 0;

-- Parameters too large to be rewritten with their row at every move.
CREATE TABLE large_parameters (
        task_seq INTEGER PRIMARY KEY,
        parameters TEXT NOT NULL
);

CREATE TABLE attempts (
        task_seq INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        retry_attempt INTEGER NOT NULL,
        boot_id TEXT NOT NULL,
        definition_hash INTEGER NOT NULL,
        scope TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at INTEGER NOT NULL,
        end_reason INTEGER NOT NULL,
        exit_status INTEGER NOT NULL,   -- -1: did not exit
        term_signal INTEGER NOT NULL,   -- 0: not killed by one
        outcome INTEGER NOT NULL,       -- a status
        error TEXT,
        error_type TEXT,
        cpu_usec INTEGER NOT NULL,      -- from here on -1: not measured
        memory_peak INTEGER NOT NULL,
        io_read INTEGER NOT NULL,
        io_write INTEGER NOT NULL,
        oom_kills INTEGER NOT NULL,
        pids_peak INTEGER NOT NULL,
        PRIMARY KEY (task_seq, attempt)
) WITHOUT ROWID;

CREATE TABLE definitions (
        hash INTEGER PRIMARY KEY,
        text TEXT NOT NULL
);

CREATE TABLE queues (
        name TEXT PRIMARY KEY,
        max_concurrent INTEGER NOT NULL,        -- 0: no limit
        rate_numerator INTEGER NOT NULL,        -- 0: no rate
        rate_denominator INTEGER NOT NULL,
        rate_period INTEGER NOT NULL,
        paused INTEGER NOT NULL,
        memory_max INTEGER NOT NULL,            -- -1: not set
        tasks_max INTEGER NOT NULL,             -- -1: not set
        cpu_quota_percent INTEGER NOT NULL,     -- 0: not set
        cpu_weight INTEGER NOT NULL             -- 0: not set
) WITHOUT ROWID;

CREATE TABLE roles (
        name TEXT PRIMARY KEY,
        refresh_tag BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE role_queues (
        role TEXT NOT NULL,
        queue TEXT NOT NULL,
        PRIMARY KEY (role, queue)
) WITHOUT ROWID;

-- Starts of rate-limited queues. tie is a number that is never given twice: two starts may share a microsecond.
CREATE TABLE starts (
        queue TEXT NOT NULL,
        at INTEGER NOT NULL,
        tie INTEGER NOT NULL,
        PRIMARY KEY (queue, at, tie)
) WITHOUT ROWID;
