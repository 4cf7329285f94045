-- name: make_pieces
-- A place for the pieces of values that are too large for one message; gone with the transaction.
create temp table if not exists value_piece (row_id uuid not null, name text not null, part integer not null, piece bytea not null) on commit drop;

-- name: add_piece
-- One piece.
insert into value_piece (row_id, name, part, piece) values ($1, $2, $3, $4);
