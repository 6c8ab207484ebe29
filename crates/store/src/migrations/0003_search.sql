-- The index of comments. Statements behind `{sqlite}` or `{postgres}` are for that database alone.

-- The row of a comment is its place, so that the newest come first without being sorted. It keeps
-- no text: tokens of letters and digits come from the `search` crate, and nothing is to be folded
-- here. An index of prefixes would double the work of every write; `search_words_terms` names the words
-- that begin with one.
{sqlite} CREATE VIRTUAL TABLE search_words USING fts5(
    subject, sender, recipients, body, marks,
    content = '', contentless_delete = 1, tokenize = "ascii tokenchars '_'"
);
{sqlite} CREATE VIRTUAL TABLE search_words_terms USING fts5vocab(search_words, instance);

-- The weights of `words` tell subject, sender, recipients and body apart; places of words are not
-- kept, since there is no room for those of long texts. `texts` has the tokens in their order, one
-- line for each of the five, for whoever looks for a phrase.
{postgres} CREATE TABLE search_words (
    place BIGINT NOT NULL PRIMARY KEY,
    words TSVECTOR NOT NULL,
    texts TEXT NOT NULL
);
{postgres} CREATE INDEX search_words_by_word ON search_words USING GIN (words)
    WITH (gin_pending_list_limit = 1024);

-- Comments of each source and day, by their places.
CREATE TABLE search_volume (
    source_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    comments BIGINT NOT NULL,
    PRIMARY KEY (source_id, day)
);

-- What made the index: the version of the tokens, and the place up to which comments are in it.
-- Without the row, nothing is.
CREATE TABLE search_state (
    one BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    done BIGINT NOT NULL
);
