-- name: feed_up
-- Entries of a creator after a number, lowest first.
select seq, entry from feed where creator = $1 and seq > $2 order by seq limit $3;

-- name: feed_down
-- Entries of a creator before a number, highest first.
select seq, entry from feed where creator = $1 and seq < $2 order by seq desc limit $3;
