-- Who has logged in to the console.

-- name: visitor
-- The name of person $1, whether it operates the platform, and the organisations it acts for, as parallel lists by name: an
-- operator acts for all.
with mine as (
    select o.number, o.name from organisation o
    where exists (select from membership m where m.pid = $1
        and (m.role = 'operator' or m.role = 'service-owner' and m.organisation = o.number))
)
select
    coalesce((select p.name from person p where p.pid = $1), '') as name,
    exists (select from membership m where m.pid = $1 and m.role = 'operator') as operator,
    array(select number from mine order by name, number) as numbers,
    array(select name from mine order by name, number) as names;
