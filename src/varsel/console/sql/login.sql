-- Who has logged in to the console.

-- name: visitor
-- The name of person $1, whether it operates the platform, and the organisations it acts for, as parallel lists by name.
select
    coalesce((select p.name from person p where p.pid = $1), '') as name,
    exists (select from membership m where m.pid = $1 and m.role = 'operator') as operator,
    array(select o.number from membership m join organisation o on o.number = m.organisation
        where m.pid = $1 and m.role = 'service-owner' order by o.name, o.number) as numbers,
    array(select o.name from membership m join organisation o on o.number = m.organisation
        where m.pid = $1 and m.role = 'service-owner' order by o.name, o.number) as names;
