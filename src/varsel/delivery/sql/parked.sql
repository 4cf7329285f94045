-- name: parked_reports
-- Reports that are the operator's, and with $3 also those that still wait for their message; newest first, at most $5. $1 is a
-- family, $2 a reason, $4 ids, $6 a report that all are older than; null leaves a condition out. `known` says whether the message has
-- become known since.
select p.report_id, p.provider, p.reference, p.word, p.status, p.received_at, p.give_up_at, p.reason, p.dead_at, p.attempts,
    exists (select from provider_reference r where r.provider = p.provider and r.reference = p.reference) as known
from parked_report p
where ($1::text is null or p.provider = $1) and ($2::text is null or p.reason = $2) and ($3 or p.dead_at is not null)
    and ($4::uuid[] is null or p.report_id = any($4)) and ($6::uuid is null or p.report_id < $6)
order by p.report_id desc limit $5;

-- name: raw_report
-- A report as it came.
select raw from report where id = $1;

-- name: retry_parked
-- Let reports $1 wait for their message again, for $2; with $3 they mean that, whatever was understood before.
update parked_report set dead_at = null, reason = null, status = coalesce($3, status), attempts = attempts + 1,
    give_up_at = clock_timestamp() + $2::interval
where report_id = any($1::uuid[]) and dead_at is not null and reference is not null and coalesce($3, status) is not null
returning report_id;

-- name: forget_parked
-- Reports $1 are nobody's any more; what came stays in `report` until its time is over.
delete from parked_report where report_id = any($1::uuid[]) returning report_id;

-- name: report_words
-- What providers said from report $1 on: each word, what it was taken for, how often and when last.
select provider, word, status, count(*) as number, max(received_at) as last_at from report where id >= $1
group by provider, word, status order by provider, number desc, word;
