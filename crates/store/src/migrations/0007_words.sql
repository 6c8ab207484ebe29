-- Words of comments without weights: those of subject, sender and recipients are there once more, behind a
-- letter. Large values stand beside the table, so that to see which comments there are takes few pages of
-- it. The index is made anew at the next start.
{postgres} TRUNCATE search_words;
{postgres} DELETE FROM search_volume;
{postgres} DELETE FROM search_state;
{postgres} ALTER TABLE search_words SET (toast_tuple_target = 128);
