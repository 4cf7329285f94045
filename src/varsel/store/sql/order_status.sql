-- name: order_status
-- An order of a creator with its settings and the sums of its messages. The id stands beside every table, so that one month is read.
-- Free texts come as the JSON that they become, and of settings above $3 octets only what is shown.
select o.id, o.creator, o.requested_at, o.created_at, o.channel, o.state, greatest(o.created_at, o.state_at) as updated_at,
    convert_to(to_json(o.senders_reference)::text, 'UTF8') as senders_reference, convert_to(to_json(o.resource_id)::text, 'UTF8') as resource_id,
    convert_to(to_json(o.resource_action)::text, 'UTF8') as resource_action,
    case when octet_length(c.content) <= $3 then c.content else (
        select convert_to(json_build_object('recipients', '[]'::json, 'conditionEndpoint', whole.settings -> 'conditionEndpoint',
            'ignoreReservation', whole.settings -> 'ignoreReservation')::text, 'UTF8')
        from (select convert_from(c.content, 'UTF8')::json as settings) whole
    ) end as content,
    n.emails, n.emails_succeeded, n.sms, n.sms_accepted
from orders o
left join order_content c on c.order_id = $1
cross join lateral (
    select
        count(*) filter (where channel = 'Email') as emails,
        count(*) filter (where channel = 'Email' and status in ('Succeeded', 'Delivered')) as emails_succeeded,
        count(*) filter (where channel = 'Sms') as sms,
        count(*) filter (where channel = 'Sms' and status = 'Accepted') as sms_accepted
    from notification
    where order_id = $1
) n
where o.id = $1 and o.creator = $2 and o.state <> 'Void';
