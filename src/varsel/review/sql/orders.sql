-- name: order_by_id
-- An order of a creator with its settings, for its v1 shape. Free texts come as the JSON that they become: nobody decodes 30 MB.
-- (As everywhere in these files.)
select o.id, o.creator, o.requested_at, o.created_at, o.channel, c.content, convert_to(to_json(o.senders_reference)::text, 'UTF8') as senders_reference,
    convert_to(to_json(o.resource_id)::text, 'UTF8') as resource_id, convert_to(to_json(o.resource_action)::text, 'UTF8') as resource_action
from orders o left join order_content c on c.order_id = $1
where o.id = $1 and o.creator = $2 and o.state <> 'Void';

-- name: orders_by_reference
-- Every order of a creator with a reference; the hash is what the index holds.
select o.id, o.creator, o.requested_at, o.created_at, o.channel, c.content, convert_to(to_json(o.senders_reference)::text, 'UTF8') as senders_reference,
    convert_to(to_json(o.resource_id)::text, 'UTF8') as resource_id, convert_to(to_json(o.resource_action)::text, 'UTF8') as resource_action
from orders o left join order_content c on c.order_id = o.id
where o.creator = $1 and hashtextextended(o.senders_reference, 0) = hashtextextended($2, 0) and o.senders_reference = $2
    and o.state <> 'Void'
order by o.id;

-- name: order_line
-- What a list of results says of its order.
select id, convert_to(to_json(senders_reference)::text, 'UTF8') as senders_reference from orders where id = $1 and creator = $2 and state <> 'Void';

-- name: results
-- The messages of an order on one channel, in planned order.
select id, recipient_kind, case when recipient_kind <> 'identity' then recipient end as recipient,
    convert_to(to_json(address)::text, 'UTF8') as address, status, status_at
from notification
where order_id = $1 and channel = $2
order by position;
