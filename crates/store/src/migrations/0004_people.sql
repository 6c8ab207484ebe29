-- How people come in: passwords, sessions of browsers, one-time links, identities of OpenID Connect.
-- Secrets are known by their SHA-256, passwords by their argon2id hash in PHC form.

ALTER TABLE users ADD COLUMN disabled_at BIGINT;

CREATE TABLE passwords (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE web_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL,
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX web_sessions_by_user ON web_sessions (user_id, created_at);
CREATE INDEX web_sessions_by_end ON web_sessions (expires_at);

-- One for each user: a new link ends the one before.
CREATE TABLE links (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (user_id, issuer)
);

-- What the groups of a person give, beside what people gave them. No project: everywhere.
CREATE TABLE group_roles (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (user_id, project, role)
);

-- Sign-ins with OpenID Connect that came back, so that none comes back twice.
CREATE TABLE used_states (
    hash TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX used_states_by_end ON used_states (expires_at);

-- Which uploads of the current hour have an audit event.
CREATE TABLE upload_marks (
    credential TEXT NOT NULL,
    subject TEXT NOT NULL,
    address TEXT NOT NULL,
    hour BIGINT NOT NULL,
    PRIMARY KEY (credential, subject, address, hour)
);
CREATE INDEX upload_marks_by_hour ON upload_marks (hour);
