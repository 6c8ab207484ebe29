-- Integrations, mails that wait, datasets with their streams. As in the first migration: only TEXT,
-- BIGINT and bytes.

-- `secrets` is sealed; `configuration` holds none.
CREATE TABLE integrations (
    id TEXT NOT NULL PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    kind TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    disabled_reason TEXT,
    configuration TEXT NOT NULL,
    secrets TEXT,
    mailboxes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE integration_errors (
    number {serial},
    integration_id TEXT NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    action TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX integration_errors_by_integration ON integration_errors (integration_id, number);

-- Mails of this program's own that were not sent, in the order in which they were written.
CREATE TABLE outbox (
    number {serial},
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX outbox_by_expiry ON outbox (expires_at);

-- `definition` holds labels, fields and flags as they are shown.
CREATE TABLE datasets (
    id TEXT NOT NULL PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    model_family TEXT NOT NULL,
    has_sentiment BIGINT NOT NULL,
    definition TEXT NOT NULL,
    labels BIGINT NOT NULL,
    entities BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE dataset_sources (
    dataset_id TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    source_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    PRIMARY KEY (dataset_id, source_id)
);
CREATE INDEX dataset_sources_by_source ON dataset_sources (source_id);

-- What people have said about a comment: labels, entities, forms, as JSON.
CREATE TABLE annotations (
    dataset_id TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    source_id TEXT NOT NULL,
    comment_id TEXT NOT NULL,
    content TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (dataset_id, source_id, comment_id)
);
CREATE INDEX annotations_by_comment ON annotations (source_id, comment_id);

CREATE TABLE streams (
    id TEXT NOT NULL PRIMARY KEY,
    dataset_id TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    definition TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (dataset_id, name)
);

-- Readers of streams go by the time of the last change.
CREATE INDEX comments_by_change ON comments (source_id, updated_at, place);

-- The last change of each source that the reader has said it is done with.
CREATE TABLE stream_positions (
    stream_id TEXT NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    source_id TEXT NOT NULL,
    reached BIGINT NOT NULL,
    place BIGINT NOT NULL,
    PRIMARY KEY (stream_id, source_id)
);

CREATE TABLE stream_exceptions (
    stream_id TEXT NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    comment_uid TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (stream_id, comment_uid)
);
