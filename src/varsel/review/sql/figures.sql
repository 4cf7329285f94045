-- name: monthly_figures
-- Orders with a send time in [$1, $2) and their messages in numbers, by creator; orders and messages are summed apart, so that neither
-- multiplies the other. Ids beyond $3 belong to orders that were made later. What is gone was added up before it went.
select creator, sum(orders)::bigint as orders, sum(emails)::bigint as emails, sum(emails_succeeded)::bigint as emails_succeeded,
    sum(sms)::bigint as sms, sum(sms_succeeded)::bigint as sms_succeeded
from (
    select o.creator, count(*) as orders, 0 as emails, 0 as emails_succeeded, 0 as sms, 0 as sms_succeeded
    from orders o
    where o.requested_at >= $1 and o.requested_at < $2 and o.id < $3 and o.state <> 'Void'
    group by o.creator
    union all
    select o.creator, 0,
        count(*) filter (where n.channel = 'Email'),
        count(*) filter (where n.channel = 'Email' and n.status in ('Succeeded', 'Delivered')),
        coalesce(sum(n.sms_parts) filter (where n.channel = 'Sms'), 0),
        coalesce(sum(n.sms_parts) filter (where n.channel = 'Sms' and n.status in ('Accepted', 'Delivered')), 0)
    from orders o join notification n on n.order_id = o.id
    where o.requested_at >= $1 and o.requested_at < $2 and o.id < $3 and n.order_id < $3 and o.state <> 'Void'
    group by o.creator
    union all
    select creator, orders, emails, emails_succeeded, sms, sms_succeeded
    from metric_monthly
    where month >= ($1 at time zone 'UTC')::date and month < ($2 at time zone 'UTC')::date
) figures
group by creator
order by creator;

-- name: daily_sms
-- SMS that reached their final status in [$1, $2). Free texts come as octets, which the file takes as they are.
select n.serial, n.id, convert_to(o.senders_reference, 'UTF8') as senders_reference, o.requested_at, o.creator,
    convert_to(o.resource_id, 'UTF8') as resource_id, n.status, n.reference, left(n.address, 10000) as address,
    n.sms_parts,
    n.body_length, n.custom_body is not null as customized,
    case when n.custom_body is not null then char_length(convert_from(c.content, 'UTF8')::jsonb #>> '{sms,body}') end as template_length
from notification n
join orders o on o.id = n.order_id
left join order_content c on n.custom_body is not null and c.order_id = n.order_id
where n.status_at >= $1 and n.status_at < $2 and n.channel = 'Sms' and n.status not in ('New', 'Sending', 'Accepted');

-- name: daily_email
-- E-mails that reached their final status in [$1, $2), likewise.
select n.serial, n.id, convert_to(o.senders_reference, 'UTF8') as senders_reference, o.requested_at, o.creator,
    convert_to(o.resource_id, 'UTF8') as resource_id, n.status, n.reference
from notification n
join orders o on o.id = n.order_id
where n.status_at >= $1 and n.status_at < $2 and n.channel = 'Email' and n.status not in ('New', 'Sending', 'Succeeded');

-- name: delete_old_feed
-- Delete up to $2 entries made at $1 or before, oldest first; nobody waits for another deleter.
delete from feed where (creator, seq) in (
    select creator, seq from feed where created_at <= $1 order by created_at, seq limit $2 for update skip locked
);
