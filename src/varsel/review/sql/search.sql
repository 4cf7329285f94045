-- name: support_search
-- Messages to one recipient in orders with a send time in [$3, $4), newest order first. An order is made before its send time (v1
-- allows five minutes after), so no id beyond $5 can be meant and later months are not read.
select o.id, o.creator, o.requested_at, o.channel as order_channel, o.kind, n.channel, n.status, n.status_at,
    convert_to(to_json(o.resource_id)::text, 'UTF8') as resource_id, convert_to(to_json(o.senders_reference)::text, 'UTF8') as senders_reference,
    convert_to(to_json(n.address)::text, 'UTF8') as address
from notification n
join orders o on o.id = n.order_id
where n.recipient_key = $1 and n.recipient_kind = $2 and n.order_id < $5 and o.id < $5
    and o.requested_at >= $3 and o.requested_at < $4 and o.state <> 'Void'
order by o.requested_at desc, o.id desc, n.channel, n.position;

-- name: audit_search
-- That somebody searched, before the answer is given; the person or organization as HMAC.
insert into audit_event (id, actor, organisation, action, subject, details) values ($1, $2, $3, 'support.search', $4, $5::jsonb);
