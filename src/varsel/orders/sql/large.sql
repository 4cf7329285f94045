-- name: make_pieces
-- A place for the pieces of contents that are too large for one message; gone with the transaction.
create temp table content_piece (order_id uuid not null, part integer not null, piece bytea not null) on commit drop;

-- name: add_piece
-- One piece.
insert into content_piece (order_id, part, piece) values ($1, $2, $3);

-- name: join_pieces
-- Put the contents together where their orders were stored.
update order_content
set content = whole.content
from (select order_id, string_agg(piece, ''::bytea order by part) as content from content_piece group by order_id) as whole
where order_content.order_id = whole.order_id;
