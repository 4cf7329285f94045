-- name: log_of_creator
-- A creator's own lines of the notification log, by dialog ($2: the ways to write it) and transmission, at least one of them.
select notification_id, kind, channel, status, requested_at, updated_at, convert_to(to_json(dialog_id)::text, 'UTF8') as dialog_id,
    convert_to(to_json(transmission_id)::text, 'UTF8') as transmission_id, convert_to(to_json(destination)::text, 'UTF8') as destination
from notification_log
where creator = $1 and left(dialog_id, 64) = any($2::text[]) and dialog_id = any($2::text[]) and ($3::text is null or transmission_id = $3)
order by requested_at, order_id, notification_id;

-- name: log_of_creator_by_transmission
-- As log_of_creator, for a caller that names the transmission alone.
select notification_id, kind, channel, status, requested_at, updated_at, convert_to(to_json(dialog_id)::text, 'UTF8') as dialog_id,
    convert_to(to_json(transmission_id)::text, 'UTF8') as transmission_id, convert_to(to_json(destination)::text, 'UTF8') as destination
from notification_log
where creator = $1 and left(transmission_id, 64) = left($2, 64) and transmission_id = $2
order by requested_at, order_id, notification_id;

-- name: log_of_dialog
-- All lines of a dialog with what decides who may see them; what has more than $3 octets is no register's address, name or resource.
select l.notification_id, l.kind, l.channel, l.status, l.requested_at, l.updated_at, convert_to(to_json(l.dialog_id)::text, 'UTF8') as dialog_id,
    convert_to(to_json(l.transmission_id)::text, 'UTF8') as transmission_id, convert_to(to_json(l.destination)::text, 'UTF8') as destination,
    case when octet_length(l.destination) <= $3 then l.destination end as address,
    case when octet_length(l.recipient) <= $3 then l.recipient end as recipient, l.recipient_kind, l.recipient_key,
    case when octet_length(l.resource_id) <= $3 then l.resource_id end as resource_id, case when octet_length(o.resource_action) > $3 then null else coalesce(nullif(o.resource_action, ''), 'read') end as action
from notification_log l left join orders o on o.id = l.order_id
where left(l.dialog_id, 64) = any($1::text[]) and l.dialog_id = any($1::text[]) and ($2::text is null or l.transmission_id = $2)
order by l.requested_at, l.order_id, l.notification_id;

-- name: own_addresses
-- The current addresses of a person in the built-in register that nobody else has: e-mail in lower case, number with country code.
with known as (
    select pid as owner, true as person, email, mobile from contact_person
    union all
    select urn, false, email, mobile from contact_identity
    union all
    select number, false, unnest(emails), null from contact_organization
    union all
    select number, false, null, unnest(mobiles) from contact_organization
    union all
    select pid, false, email, mobile from contact_user
), bare as (
    select owner, person, lower(email) as email, regexp_replace(regexp_replace(mobile, '\D', '', 'g'), '^00', '') as digits from known
), complete as (
    select owner, person, nullif(email, '') as email,
        nullif(case when length(digits) = 8 and digits ~ '^[49]' then '47' || digits else digits end, '') as mobile
    from bare
), mine as (
    select email, mobile from complete where owner = $1 and person
)
select
    (select email from mine where not exists (select from complete o where o.email = mine.email and o.owner <> $1)) as email,
    (select mobile from mine where not exists (select from complete o where o.mobile = mine.mobile and o.owner <> $1)) as mobile;
