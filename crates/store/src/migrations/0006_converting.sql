-- Emails that are converted within a request: `hash` is of what was sent, `holder` the process that
-- converts it. A row is there before the conversion begins, and goes when it has ended; one that is
-- left was there when a process ended.
CREATE TABLE converting (
    hash TEXT NOT NULL,
    holder TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (hash, holder)
);
CREATE INDEX converting_by_time ON converting (at);
