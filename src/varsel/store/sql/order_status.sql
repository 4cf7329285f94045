-- name: order_status
-- An order of a creator with its settings and the sums of its messages. The id stands beside every table, so that one month is read.
select o.id, o.creator, o.senders_reference, o.requested_at, o.created_at, o.channel, o.resource_id, o.resource_action, o.state,
    greatest(o.created_at, o.state_at) as updated_at, c.content,
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
