-- name: store_reports
-- Keep reports as they came, and let those that name a message wait for it; $8 is how long.
with w as (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[])
        as w (id, provider, reference, word, status, raw, reason)
), kept as (
    insert into report (id, provider, reference, word, status, raw) select id, provider, reference, word, status, raw from w
)
insert into parked_report (report_id, provider, reference, word, status, received_at, give_up_at, reason, dead_at)
select id, provider, reference, word, status, clock_timestamp(), clock_timestamp() + $8::interval, reason,
    case when reason is not null then clock_timestamp() end
from w;

-- name: matching_reports
-- Up to $2 waiting reports whose message is known, from report $1 on; nobody else takes them meanwhile.
select p.report_id, p.provider, p.reference, p.status, r.order_id, r.notification_id
from parked_report p join provider_reference r on r.provider = p.provider and r.reference = p.reference
where p.dead_at is null and p.status is not null and p.report_id > $1
order by p.report_id
limit $2
for update of p skip locked;

-- name: drop_parked
-- Reports that were applied.
delete from parked_report where report_id = any($1::uuid[]);

-- name: give_up_reports
-- Reports whose message never became known are the operator's now. Those whose message is known were only not applied yet: nobody may
-- have been there to do it. Looked up report by report, where a join might read all references; the time is asked for once, so that it
-- can be the end of the index's range.
update parked_report set dead_at = clock_timestamp(), reason = 'RETRY_THRESHOLD_EXCEEDED'
where report_id = any(array(
    select p.report_id from parked_report p
    where p.dead_at is null and p.give_up_at <= (select clock_timestamp()) and (p.status is null
        or (select r.order_id from provider_reference r where r.provider = p.provider and r.reference = p.reference) is null)
    limit 500 for update of p skip locked))
returning report_id;

-- name: bury_reports
-- Reports that cannot be applied are the operator's.
update parked_report set dead_at = clock_timestamp(), reason = $2 where report_id = any($1::uuid[]);

-- name: reports_of_nobody
-- The latest reports of the gateway, at least $1 old, whose reference nobody knows and that came since the oldest SMS that is open and
-- unknown was begun.
select p.reference, p.received_at, r.raw from parked_report p join report r on r.id = p.report_id
where p.provider = 'link' and p.status is not null and p.reference is not null
    and (p.dead_at is null or p.reason = 'RETRY_THRESHOLD_EXCEEDED') and p.received_at <= clock_timestamp() - $1::interval
    and p.received_at >= (select min(begun_at) from handoff where channel = 'Sms' and unknown_at is not null)
    and not exists (select from provider_reference k where k.provider = 'link' and k.reference = p.reference)
order by p.report_id desc limit 1000;

-- name: open_texts
-- Open handoffs of SMS to numbers that end in one of $1, each of $2 digits.
select h.attempt_id, h.begun_at, h.unknown_at is not null as unknown, n.address
from handoff h join notification n on n.order_id = h.order_id and n.id = h.notification_id
where h.channel = 'Sms' and right(regexp_replace(n.address, '[^0-9]', '', 'g'), $2) = any($1::text[]);

-- name: know_by_receiver
-- References $1 belong to the handoffs $2, where these are still open and unknown; reports that were given up wait again, for $3.
with known as (
    insert into provider_reference (provider, reference, order_id, notification_id)
    select 'link', w.reference, h.order_id, h.notification_id
    from unnest($1::text[], $2::uuid[]) as w (reference, attempt_id)
        join handoff h on h.attempt_id between w.attempt_id and w.attempt_id and h.unknown_at is not null
    on conflict do nothing
    returning reference
), again as (
    update parked_report p set dead_at = null, reason = null, give_up_at = clock_timestamp() + $3::interval
    from known k where p.provider = 'link' and p.reference = k.reference and p.dead_at is not null
)
select count(*)::int from known;
