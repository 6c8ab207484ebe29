-- Comments have words for the periods that they are in, so that the index names those of a period alone. It
-- is made anew at the next start.
{postgres} TRUNCATE search_words;
{postgres} DELETE FROM search_volume;
{postgres} DELETE FROM search_state;
