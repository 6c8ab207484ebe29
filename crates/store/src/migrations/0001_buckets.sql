-- Only TEXT, BIGINT and bytes, so that one text serves both databases: times are microseconds
-- since 1970, truths are 0 or 1, lists and objects are JSON. `{serial}` and `{bytes}` are the two
-- words in which the databases differ.

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE projects (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    user_auto_join BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT
);

CREATE TABLE global_permissions (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (user_id, permission)
);

CREATE TABLE project_permissions (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (user_id, project_id, permission)
);
CREATE INDEX project_permissions_by_project ON project_permissions (project_id);

-- A token is known by the SHA-256 of its text; the text itself is nowhere.
CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    shown TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    permissions TEXT,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX tokens_by_user ON tokens (user_id);
CREATE INDEX tokens_by_project ON tokens (project_id);

CREATE TABLE buckets (
    id TEXT NOT NULL PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    last_updated_by TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

-- What emails consist of, by SHA-256. `body` is compressed; without one it is in a file.
CREATE TABLE contents (
    hash TEXT NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    stored_size BIGINT NOT NULL,
    coding TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body {bytes}
);

-- `number` is the order of first arrival.
CREATE TABLE emails (
    number {serial},
    bucket_id TEXT NOT NULL REFERENCES buckets (id),
    id TEXT NOT NULL,
    mailbox TEXT NOT NULL,
    sent_at BIGINT NOT NULL,
    hash TEXT NOT NULL REFERENCES contents (hash),
    metadata TEXT,
    attachments TEXT NOT NULL,
    no_charge BIGINT NOT NULL,
    writes BIGINT NOT NULL,
    content_changes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (bucket_id, id)
);
CREATE INDEX emails_by_number ON emails (bucket_id, number);
CREATE INDEX emails_by_time ON emails (bucket_id, sent_at, number);
CREATE INDEX emails_by_mailbox ON emails (bucket_id, mailbox, sent_at, number);
CREATE INDEX emails_by_hash ON emails (hash);

CREATE TABLE email_attachments (
    bucket_id TEXT NOT NULL REFERENCES buckets (id),
    email_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    hash TEXT NOT NULL REFERENCES contents (hash),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (bucket_id, email_id, place)
);
CREATE INDEX email_attachments_by_hash ON email_attachments (hash);

CREATE TABLE sync_states (
    bucket_id TEXT NOT NULL PRIMARY KEY REFERENCES buckets (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    progress_at BIGINT,
    synced_at BIGINT,
    version BIGINT NOT NULL
);

CREATE TABLE keyed_sync_states (
    bucket_id TEXT NOT NULL REFERENCES buckets (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    mailbox TEXT NOT NULL,
    path TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (bucket_id, key)
);
CREATE INDEX keyed_sync_states_by_mailbox ON keyed_sync_states (bucket_id, mailbox, path);

CREATE TABLE appliance_configs (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    content {bytes} NOT NULL,
    hash TEXT NOT NULL,
    written_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, name, version)
);

CREATE TABLE quotas (
    kind TEXT NOT NULL PRIMARY KEY,
    hard_limit BIGINT NOT NULL,
    auto_increase_up_to BIGINT
);

-- Who acted and on what is copied, since users and projects can go. Each row holds a hash over
-- itself and the row before it.
CREATE TABLE audit_events (
    number {serial},
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    projects TEXT NOT NULL,
    details TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_events_by_time ON audit_events (at, number);

-- The hash of the last audit event: one row, so that writers wait for one another.
CREATE TABLE audit_head (
    one BIGINT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (one, hash) VALUES (1, '');
