-- name: feed_up
-- A page of a creator's entries after a number, lowest first, as the array that is served; null when there are none. It ends early
-- where it would be large: at the entry that reaches $4 octets.
select E'[\n  {\n    "sequenceNumber": '::bytea || string_agg(
    convert_to(seq::text, 'UTF8') || entry, E',\n  {\n    "sequenceNumber": '::bytea order by seq
) || E'\n]'::bytea
from (
    select seq, entry, sum(octet_length(entry)) over (order by seq) - octet_length(entry) as before
    from (select seq, entry from feed where creator = $1 and seq > $2 order by seq limit $3) as page
) as page
where before < $4;

-- name: feed_down
-- The same of the entries before a number, highest first.
select E'[\n  {\n    "sequenceNumber": '::bytea || string_agg(
    convert_to(seq::text, 'UTF8') || entry, E',\n  {\n    "sequenceNumber": '::bytea order by seq desc
) || E'\n]'::bytea
from (
    select seq, entry, sum(octet_length(entry)) over (order by seq desc) - octet_length(entry) as before
    from (select seq, entry from feed where creator = $1 and seq < $2 order by seq desc limit $3) as page
) as page
where before < $4;
