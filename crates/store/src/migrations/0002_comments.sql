-- `{key}` is a number that the writer chooses.

-- Comments come from clients, or from the emails of a bucket. `generation` grows whenever those
-- have to be converted anew. `queued_to`: of the emails of the bucket, those up to this number
-- were put into the queue; NULL for all.
CREATE TABLE sources (
    id TEXT NOT NULL PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    bucket_id TEXT REFERENCES buckets (id),
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    language TEXT NOT NULL,
    should_translate BIGINT NOT NULL,
    sensitive_properties TEXT NOT NULL,
    kind TEXT NOT NULL,
    transform_tag TEXT,
    transform_version BIGINT,
    generation BIGINT NOT NULL,
    format BIGINT NOT NULL,
    queued_to BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_modified BIGINT NOT NULL,
    UNIQUE (project_id, name)
);
CREATE INDEX sources_by_bucket ON sources (bucket_id);

-- `place` is the time of the comment in microseconds, moved up to a free value: the order of all
-- comments of all sources. `body` is the comment as it was written. `email` is the number of the
-- email that it was made of.
CREATE TABLE comments (
    place {key},
    source_id TEXT NOT NULL REFERENCES sources (id),
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    thread_id TEXT,
    body TEXT NOT NULL,
    version BIGINT NOT NULL,
    email BIGINT,
    generation BIGINT NOT NULL,
    text_changes BIGINT NOT NULL,
    no_charge BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (source_id, id)
);
CREATE INDEX comments_by_time ON comments (source_id, at, place);
CREATE INDEX comments_by_thread ON comments (source_id, thread_id, at, place)
    WHERE thread_id IS NOT NULL;
CREATE INDEX comments_by_email ON comments (email) WHERE email IS NOT NULL;

-- Bytes that clients send beside a comment, and before it. The audio has the place -1.
CREATE TABLE comment_attachments (
    source_id TEXT NOT NULL REFERENCES sources (id),
    comment_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    hash TEXT NOT NULL REFERENCES contents (hash),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (source_id, comment_id, place)
);
CREATE INDEX comment_attachments_by_hash ON comment_attachments (hash);

-- Emails that wait to become comments, written with the email itself. `version` grows when the
-- email changes meanwhile. A claim is durable before the conversion begins, so that `strikes` tells
-- which emails were being converted when a process was killed. One that is set aside has
-- `quarantined_at`, and stays so until its content changes.
CREATE TABLE conversions (
    email BIGINT NOT NULL,
    source_id TEXT NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    version BIGINT NOT NULL,
    strikes BIGINT NOT NULL,
    claimed_by TEXT,
    claimed_until BIGINT,
    quarantined_at BIGINT,
    reason TEXT,
    PRIMARY KEY (email, source_id)
);
CREATE INDEX conversions_by_source ON conversions (source_id, quarantined_at);
