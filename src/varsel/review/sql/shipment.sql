-- name: shipment_order
-- The order line of a shipment, for its creator only.
select id, convert_to(to_json(senders_reference)::text, 'UTF8') as senders_reference, kind, state, greatest(created_at, state_at) as updated_at
from orders
where id = $1 and creator = $2 and state <> 'Void';

-- name: shipment_recipients
-- The recipient lines of a shipment: e-mail before SMS, each in planned order.
select channel, convert_to(to_json(address)::text, 'UTF8') as address, status, status_at
from notification
where order_id = $1
order by channel, position;
