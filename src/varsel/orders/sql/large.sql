-- name: join_order
-- Put the large texts of an order together where it was stored without them.
update orders set
    senders_reference = coalesce((
        select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $1 and name = 'senders_reference'
    ), senders_reference),
    resource_id = coalesce((
        select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $1 and name = 'resource_id'
    ), resource_id),
    resource_action = coalesce((
        select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $1 and name = 'resource_action'
    ), resource_action),
    dialog_id = coalesce((
        select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $1 and name = 'dialog_id'
    ), dialog_id),
    transmission_id = coalesce((
        select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $1 and name = 'transmission_id'
    ), transmission_id)
where id = $1;

-- name: join_content
-- The same for its content.
update order_content
set content = (select string_agg(piece, ''::bytea order by part) from value_piece where row_id = $1 and name = 'content')
where order_id = $1;

-- name: join_receipt
-- The same for the receipt of a chain.
update idempotency
set receipt = (select string_agg(piece, ''::bytea order by part) from value_piece where row_id = $1 and name = 'receipt')
where chain_id = $1;

-- name: join_address
-- The same for the address of the one message of an instant order.
update notification
set address = (
    select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $1 and name = 'address'
)
where order_id = $1;
