-- Comments have words for the tokens that follow one another, so that few texts are read for a phrase. The
-- index is made anew at the next start.
{postgres} TRUNCATE search_words;
{postgres} DELETE FROM search_volume;
{postgres} DELETE FROM search_state;
