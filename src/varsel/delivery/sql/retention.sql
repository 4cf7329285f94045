-- name: lead_retention
-- Whether this transaction is the only one that forgets.
select pg_try_advisory_xact_lock(6218734501);

-- name: plan_facts
-- Facts are read by blocks and by months here: statistics can be believed, unlike those of queues (see BY_INDEX), and the times that are
-- asked for decide how much is read.
set local enable_seqscan = on; set local enable_bitmapscan = on; set local plan_cache_mode = force_custom_plan;

-- name: retention_place
-- Up to which end of orders something was forgotten already.
select until from retention where what = $1 for update;

-- name: keep_retention_place
-- Remember it.
insert into retention (what, until) values ($1, $2) on conflict (what) do update set until = excluded.until;

-- name: ended_orders
-- Orders that ended after $1 and up to $2, by the time of their end, at most $3.
select id, ended_at from orders where ended_at > $1 and ended_at <= $2 order by ended_at limit $3;

-- name: first_end
-- When the first order that is still here ended, if that was by $1.
select min(ended_at) from orders where ended_at <= $1;

-- name: content_without_texts
-- Of orders that ended long ago, what was ordered without what was written, asked and attached.
update order_content
set content = convert_to((convert_from(content, 'UTF8')::jsonb - array['email', 'sms', 'conditionEndpoint', 'attachments'])::text, 'UTF8')
where order_id = any($1::uuid[]);

-- name: content_without_recipients
-- Of orders that ended long ago, what was ordered without for whom.
update order_content
set content = convert_to(jsonb_set(convert_from(content, 'UTF8')::jsonb, '{recipients}', '[]')::text, 'UTF8')
where order_id = any($1::uuid[]);

-- name: forget_content
-- All that was ordered, of orders that ended long ago.
delete from order_content where order_id = any($1::uuid[]);

-- name: forget_texts
-- Texts of messages whose orders ended long ago.
update notification set custom_subject = null, custom_body = null
where order_id = any($1::uuid[]) and (custom_subject is not null or custom_body is not null);

-- name: forget_identities
-- Who got the messages of orders that ended long ago: numbers, names of accounts, addresses, and what finds them.
with logged as (
    update notification_log set recipient = null, recipient_key = null, destination = '' where order_id = any($1::uuid[])
), kept as (
    delete from reserve where order_id = any($1::uuid[])
)
update notification set recipient = null, recipient_key = null, address = '' where order_id = any($1::uuid[]);

-- name: forget_feed
-- Feed entries written before $1, at most $2.
delete from feed where (creator, seq) in (select creator, seq from feed where created_at < $1 order by created_at limit $2) returning seq;

-- name: forget_dead_reports
-- Reports that nobody could use, $1 old.
delete from parked_report where report_id = any(array(
    select report_id from parked_report where dead_at < statement_timestamp() - $1::interval limit 10000)) returning report_id;

-- name: fold_sums
-- One row a day, creator, kind and status, for days before $1.
with gone as (
    delete from metric_daily where day < $1 and day in (
        select day from metric_daily where day < $1 group by day, creator, what, status having count(*) > 1 limit 30)
    returning day, creator, what, status, number, parts
)
insert into metric_daily (day, creator, what, status, number, parts)
select day, creator, what, status, sum(number), sum(parts) from gone group by 1, 2, 3, 4;

-- name: forget_budgets
-- Budgets of seconds and minutes that are over.
with p as (
    delete from pacing where slice < extract(epoch from clock_timestamp())::bigint - 3600
)
delete from webhook_attempt where at < statement_timestamp() - interval '30 days';
