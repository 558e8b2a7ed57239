//! Families of queries: ways to ask for one thing, some of which mean the same (always, or given keys), some nearly. Two
//! members of a family, in the same or a similar context, are a pair.

use assay::stats::rng::SplitMix64;

use super::group_families::GROUP_FAMILIES;
use super::pairs::Pair;

/// A template with `{name}` holes, the same for all members of a family.
struct Holes(Vec<(&'static str, String)>);

impl Holes {
    fn fill(&self, template: &str) -> String {
        let mut text = template.to_owned();
        // A hole may hold another.
        for _ in 0..2 {
            for (name, value) in &self.0 {
                text = text.replace(&format!("{{{name}}}"), value);
            }
        }
        text
    }
}

const FAMILIES: [(&str, &[&str]); 40] = [
    (
        "semi-join",
        &[
            "select {x} as c0, {y} as c1 from t where {key} in (select {r} from {o})",
            "select {x} as c0, {y} as c1 from t where {key} in (select {r} from {o} where {r} is not null)",
            "select {x} as c0, {y} as c1 from t where exists (select 1 from {o} where {r} = {key})",
            "select {x} as c0, {y} as c1 from t where exists (select {r} from {o} where {r} = {key} limit 1)",
            "select {x} as c0, {y} as c1 from t join (select distinct {r} as r from {o}) q on q.r = {key}",
            "select {x} as c0, {y} as c1 from t join {o} on {r} = {key}",
            "select distinct {x} as c0, {y} as c1 from t join {o} on {r} = {key}",
            "select {x} as c0, {y} as c1 from t left join (select {r} as r from {o} group by 1) q on q.r = {key} where q.r is not null",
            "select {x} as c0, {y} as c1 from t where (select count(*) from {o} where {r} = {key}) > 0",
            "select {x} as c0, {y} as c1 from t where {key} = any (select {r} from {o})",
            "select {x} as c0, {y} as c1 from t where (select max({r}) from {o} where {r} = {key}) is not null",
            "select {x} as c0, {y} as c1 from t semi join {o} on {r} = {key}",
        ],
    ),
    (
        "semi-join with a condition",
        &[
            "select {x} as c0 from t where {key} in (select {r} from {o} where {po})",
            "select {x} as c0 from t where exists (select 1 from {o} where {r} = {key} and {po})",
            "select {x} as c0 from t where exists (select 1 from {o} where {r} = {key}) and exists (select 1 from {o} where {po})",
            "select t.{xn} as c0 from t join (select distinct {r} as r from {o} where {po}) q on q.r = {key}",
            "select {x} as c0 from t join {o} on {r} = {key} where {po}",
            "select {x} as c0 from t left join {o} on {r} = {key} and {po} where {r} is not null",
            "select {x} as c0 from t left join {o} on {r} = {key} where {po}",
            "select {x} as c0 from t where (select count(*) from {o} where {r} = {key} and {po}) >= 1",
            "select {x} as c0 from t where (select bool_or({po}) from {o} where {r} = {key})",
            "select {x} as c0 from t where coalesce((select bool_or({po}) from {o} where {r} = {key}), false)",
        ],
    ),
    (
        "anti-join",
        &[
            "select {x} as c0, {y} as c1 from t where {key} not in (select {r} from {o})",
            "select {x} as c0, {y} as c1 from t where {key} not in (select {r} from {o} where {r} is not null)",
            "select {x} as c0, {y} as c1 from t where not ({key} in (select {r} from {o}))",
            "select {x} as c0, {y} as c1 from t where not exists (select 1 from {o} where {r} = {key})",
            "select {x} as c0, {y} as c1 from t where not exists (select 1 from {o} where {r} = {key}) and {key} is not null",
            "select {x} as c0, {y} as c1 from t left join {o} on {r} = {key} where {r} is null",
            "select {x} as c0, {y} as c1 from t left join {o} on {r} = {key} where {oc} is null",
            "select {x} as c0, {y} as c1 from t where (select count(*) from {o} where {r} = {key}) = 0",
            "select {x} as c0, {y} as c1 from t where (select count({r}) from {o} where {r} = {key}) < 1",
            "select {x} as c0, {y} as c1 from t where {key} <> all (select {r} from {o})",
            "select {x} as c0, {y} as c1 from t anti join {o} on {r} = {key}",
            "select {x} as c0, {y} as c1 from t where not coalesce({key} in (select {r} from {o}), false)",
            "select {x} as c0, {y} as c1 from t where ({key} in (select {r} from {o})) is not true",
        ],
    ),
    (
        "first of each group",
        &[
            "select {g} as c0, {x} as c1 from t qualify row_number() over (partition by {g} order by {ob}) = 1",
            "select {g} as c0, {x} as c1 from t qualify row_number() over (partition by {g} order by {ob}, t.id) = 1",
            "select {g} as c0, {x} as c1 from t qualify rank() over (partition by {g} order by {ob}) = 1",
            "select {g} as c0, {x} as c1 from t qualify rank() over (partition by {g} order by {ob}, t.id) <= 1",
            "select {g} as c0, {x} as c1 from t qualify dense_rank() over (partition by {g} order by {ob}) < 2",
            "select q.g as c0, q.x as c1 from (select {g} as g, {x} as x, row_number() over (partition by {g} order by {ob}) as n from t) q where q.n = 1",
            "select distinct {g} as c0, {x} as c1 from t qualify rank() over (partition by {g} order by {ob}) = 1",
            "select {g} as c0, {x} as c1 from t where {obc} = (select min({obc}) from t) ",
            "select {g} as c0, {x} as c1 from t where {obc} = (select min(o.{obn}) from t as o where o.{gn} = {g})",
            "select {g} as c0, {x} as c1 from t join (select {g} as g, min({obc}) as m from t group by 1) q on q.g = {g} and q.m = {obc}",
            "select {g} as c0, {x} as c1 from t join (select {g} as g, min({obc}) as m from t group by 1) q on q.g is not distinct from {g} and q.m is not distinct from {obc}",
            "select {g} as c0, {x} as c1 from t where not exists (select 1 from t as o where o.{gn} = {g} and o.{obn} < {obc})",
        ],
    ),
    (
        // A grouping by a key dissolves and hands its conditions to the join.
        "aggregate of some rows beside rows",
        &[
            "select {k1} as c0, q.n as c1 from t left join (select {r} as r, count(*) as n from {o} where {po} group by 1) q on q.r = {k1}",
            "select {k1} as c0, q.n as c1 from t left join (select {r} as r, count(*) as n from {o} group by 1) q on q.r = {k1}",
            "select {k1} as c0, (select count(*) from {o} where {r} = {k1} and {po}) as c1 from t",
            "select {k1} as c0, (select count(*) from {o} where {r} = {k1}) as c1 from t",
            "select {k1} as c0, coalesce(q.n, 0) as c1 from t left join (select {r} as r, count(*) as n from {o} where {po} group by 1) q on q.r = {k1}",
            "select {k1} as c0, (select count(*) from {o} where {r} = {k1} and {oc} = (select min({oc}) from {o})) as c1 from t",
            "select {k1} as c0, (select max({r}) from {o} where {r} = {k1} and {po}) as c1 from t",
            "select {k1} as c0, q.r as c1 from t left join (select distinct {r} as r from {o} where {po}) q on q.r = {k1}",
            "select {k1} as c0, q.r as c1 from t left join (select distinct {r} as r from {o} where {po} and {oc} = {r}) q on q.r = {k1}",
        ],
    ),
    (
        "aggregate beside rows",
        &[
            "select {k1} as c0, count({r}) as c1 from t left join {o} on {r} = {k1} group by 1",
            "select {k1} as c0, count(*) as c1 from t left join {o} on {r} = {k1} group by 1",
            "select {k1} as c0, coalesce(q.n, 0) as c1 from t left join (select {r} as r, count(*) as n from {o} group by 1) q on q.r = {k1}",
            "select {k1} as c0, q.n as c1 from t left join (select {r} as r, count(*) as n from {o} group by 1) q on q.r = {k1}",
            "select {k1} as c0, (select count(*) from {o} where {r} = {k1}) as c1 from t",
            "select {k1} as c0, count(q.r) as c1 from t left join (select {r} as r from {o}) q on q.r = {k1} group by {k1}",
            "select {k1} as c0, sum(case when {r} is null then 0 else 1 end) as c1 from t left join {o} on {r} = {k1} group by 1",
            "select {k1} as c0, count(*) filter (where {r} is not null) as c1 from t left join {o} on {r} = {k1} group by 1",
            "select distinct {k1} as c0, count({r}) over (partition by {k1}) as c1 from t left join {o} on {r} = {k1}",
        ],
    ),
    (
        "sum beside rows",
        &[
            "select {k1} as c0, sum({om}) as c1 from t left join {o} on {r} = {k1} group by 1",
            "select {k1} as c0, coalesce(sum({om}), 0) as c1 from t left join {o} on {r} = {k1} group by 1",
            "select {k1} as c0, sum(coalesce({om}, 0)) as c1 from t left join {o} on {r} = {k1} group by 1",
            "select {k1} as c0, (select sum({om}) from {o} where {r} = {k1}) as c1 from t",
            "select {k1} as c0, coalesce((select sum({om}) from {o} where {r} = {k1}), 0) as c1 from t",
            "select {k1} as c0, q.m as c1 from t left join (select {r} as r, sum({om}) as m from {o} group by 1) q on q.r = {k1}",
            "select {k1} as c0, coalesce(q.m, 0) as c1 from t left join (select {r} as r, sum({om}) as m from {o} group by 1) q on q.r = {k1}",
            "select {k1} as c0, sum({om}) as c1 from t join {o} on {r} = {k1} group by 1",
            "select {k1} as c0, sum(q.m) as c1 from t left join (select {r} as r, sum({om}) as m from {o} group by 1) q on q.r = {k1} group by 1",
            "select {k1} as c0, max(q.m) as c1 from t left join (select {r} as r, sum({om}) as m from {o} group by 1) q on q.r = {k1} group by 1",
        ],
    ),
    (
        "two fan-outs",
        &[
            "select t.id as c0, count(distinct u.id) as c1, count(distinct v.k) as c2 from t left join u on u.t_id = t.id left join v on v.t_id = t.id group by 1",
            "select t.id as c0, count(u.id) as c1, count(v.k) as c2 from t left join u on u.t_id = t.id left join v on v.t_id = t.id group by 1",
            "select t.id as c0, coalesce(p.n, 0) as c1, coalesce(q.n, 0) as c2 from t left join (select t_id, count(*) as n from u group by 1) p on p.t_id = t.id left join (select t_id, count(k) as n from v group by 1) q on q.t_id = t.id",
            "select t.id as c0, coalesce(p.n, 0) as c1, coalesce(q.n, 0) as c2 from t left join (select t_id, count(distinct id) as n from u group by 1) p on p.t_id = t.id left join (select t_id, count(distinct k) as n from v group by 1) q on q.t_id = t.id",
            "select t.id as c0, (select count(*) from u where u.t_id = t.id) as c1, (select count(distinct v.k) from v where v.t_id = t.id) as c2 from t",
        ],
    ),
    (
        "conditional aggregate",
        &[
            "select {g} as c0, sum(case when {p} then 1 else 0 end) as c1 from t group by 1",
            "select {g} as c0, count(case when {p} then 1 end) as c1 from t group by 1",
            "select {g} as c0, count(case when {p} then {x} end) as c1 from t group by 1",
            "select {g} as c0, count(*) filter (where {p}) as c1 from t group by 1",
            "select {g} as c0, count(*) as c1 from t where {p} group by 1",
            "select {g} as c0, count_if({p}) as c1 from t group by 1",
            "select {g} as c0, sum(case when {p} then 1 end) as c1 from t group by 1",
            "select {g} as c0, coalesce(sum(case when {p} then 1 end), 0) as c1 from t group by 1",
            "select {g} as c0, count(*) - sum(case when not ({p}) then 1 else 0 end) as c1 from t group by 1",
            "select {g} as c0, sum(cast({p} as int)) as c1 from t group by 1",
            "select {g} as c0, sum(if({p}, 1, 0)) as c1 from t group by 1",
        ],
    ),
    (
        "conditional aggregate over everything",
        &[
            "select sum(case when {p} then {n} else 0 end) as c0, count(*) as c1 from t",
            "select sum(case when {p} then {n} end) as c0, count(*) as c1 from t",
            "select sum({n}) filter (where {p}) as c0, count(*) as c1 from t",
            "select coalesce(sum({n}) filter (where {p}), 0) as c0, count(*) as c1 from t",
            "select (select sum({n}) from t where {p}) as c0, (select count(*) from t) as c1",
            "select a.s as c0, b.n as c1 from (select sum({n}) as s from t where {p}) a, (select count(*) as n from t) b",
            "select a.s as c0, b.n as c1 from (select sum({n}) as s from t where {p} having count(*) > 0) a, (select count(*) as n from t) b",
            "select sum({n}) as c0, count(*) as c1 from t where {p}",
        ],
    ),
    (
        "or is null",
        &[
            "select {x} as c0 from t where coalesce({n}, {i}) = {i}",
            "select {x} as c0 from t where {n} = {i} or {n} is null",
            "select {x} as c0 from t where nullif({n}, {i}) is null",
            "select {x} as c0 from t where not ({n} <> {i})",
            "select {x} as c0 from t where ({n} <> {i}) is not true",
            "select {x} as c0 from t where {n} is not distinct from {i}",
            "select {x} as c0 from t where case when {n} is null then true else {n} = {i} end",
            "select {x} as c0 from t where case when {n} = {i} then 1 when {n} is null then 1 else 0 end = 1",
            "select {x} as c0 from t where {n} in ({i}) or {n} is null",
            "select {x} as c0 from t where {n} in ({i}, null)",
            "select {x} as c0 from t where not {n} in (select {n} from t as o where o.{nn} <> {i})",
        ],
    ),
    (
        "nullable expressions",
        &[
            "select coalesce({n}, {m}) as c0, {x} as c1 from t",
            "select case when {n} is not null then {n} else {m} end as c0, {x} as c1 from t",
            "select case when {n} is null then {m} else {n} end as c0, {x} as c1 from t",
            "select ifnull({n}, {m}) as c0, {x} as c1 from t",
            "select if({n} is null, {m}, {n}) as c0, {x} as c1 from t",
            "select coalesce({n}, {m}, {n}) as c0, {x} as c1 from t",
            "select coalesce({m}, {n}) as c0, {x} as c1 from t",
            "select nullif(coalesce({n}, {m}), {m}) as c0, {x} as c1 from t",
            "select greatest({n}, {m}) as c0, {x} as c1 from t",
            "select case {n} when null then {m} else {n} end as c0, {x} as c1 from t",
        ],
    ),
    (
        "types that show",
        &[
            "select cast(coalesce({n}, 0) as varchar) as c0 from t",
            "select cast(coalesce({n}, 0.0) as varchar) as c0 from t",
            "select cast({n} as varchar) as c0 from t",
            "select cast(case when {n} is not null then {n} else 0.5 end as varchar) as c0 from t",
            "select {n} || '' as c0 from t",
            "select concat(coalesce({n}, 0), '') as c0 from t",
            "select cast(case when true then {n} else 1.5 end as varchar) as c0 from t",
            "select cast(q.n as varchar) as c0 from (select {n} as n from t union all select 0.5 as n from t where false) q",
            "select cast(cast({n} as bigint) as varchar) as c0 from t",
            "select cast({n} * 1.0 as varchar) as c0 from t",
            "select cast(min({n}) as varchar) as c0 from t group by t.id, {n}",
            "select cast(sum({n}) as varchar) as c0 from t group by t.id, {n}",
        ],
    ),
    (
        "division",
        &[
            "select {n} / 2 as c0 from t",
            "select {n} // 2 as c0 from t",
            "select coalesce({n}, 0.5) // 2 as c0 from t",
            "select coalesce({n}, 0) // 2 as c0 from t",
            "select floor({n} / 2) as c0 from t",
            "select {n} * 1.0 / 2 as c0 from t",
            "select cast({n} as double) / 2 as c0 from t",
            "select {n} / 2.0 as c0 from t",
            "select round({n} / 2, 0) as c0 from t",
            "select cast({n} / 2 as int) as c0 from t",
            "select {n} * 0.5 as c0 from t",
            "select case when {n} is not null then {n} else 0.5 end // 2 as c0 from t",
        ],
    ),
    (
        "averages",
        &[
            "select {g} as c0, avg({n}) as c1 from t group by 1",
            "select {g} as c0, sum({n}) / count({n}) as c1 from t group by 1",
            "select {g} as c0, sum({n}) / count(*) as c1 from t group by 1",
            "select {g} as c0, avg(coalesce({n}, 0)) as c1 from t group by 1",
            "select {g} as c0, sum({n}) * 1.0 / nullif(count({n}), 0) as c1 from t group by 1",
            "select {g} as c0, sum({n}) // count({n}) as c1 from t group by 1",
            "select {g} as c0, avg({n} * 1.0) as c1 from t group by 1",
            "select {g} as c0, avg(distinct {n}) as c1 from t group by 1",
            "select q.g as c0, avg(q.a) as c1 from (select {g} as g, {h} as h, avg({n}) as a from t group by 1, 2) q group by 1",
        ],
    ),
    (
        "months",
        &[
            "select {x} as c0 from t where date_trunc('month', t.d) = date '2024-01-01'",
            "select {x} as c0 from t where t.d >= date '2024-01-01' and t.d < date '2024-02-01'",
            "select {x} as c0 from t where t.d between date '2024-01-01' and date '2024-01-31'",
            "select {x} as c0 from t where t.d between '2024-01-01' and '2024-02-01'",
            "select {x} as c0 from t where year(t.d) = 2024 and month(t.d) = 1",
            "select {x} as c0 from t where extract(year from t.d) = 2024 and extract(month from t.d) = 1",
            "select {x} as c0 from t where strftime(t.d, '%Y-%m') = '2024-01'",
            "select {x} as c0 from t where t.d >= date '2024-01-01' and t.d < date '2024-01-01' + interval 1 month",
            "select {x} as c0 from t where t.d < date '2024-02-01' and not t.d < date '2024-01-01'",
            "select {x} as c0 from t where date_part('month', t.d) = 1",
            "select {x} as c0 from t where date_trunc('quarter', t.d) = date '2024-01-01'",
        ],
    ),
    (
        "days of timestamps",
        &[
            "select e.n as c0 from e where cast(e.at as date) = date '2024-01-31'",
            "select e.n as c0 from e where e.at >= '2024-01-31' and e.at < '2024-02-01'",
            "select e.n as c0 from e where e.at >= timestamp '2024-01-31 00:00:00' and e.at < timestamp '2024-02-01 00:00:00'",
            "select e.n as c0 from e where e.at between '2024-01-31' and '2024-02-01'",
            "select e.n as c0 from e where date_trunc('day', e.at) = date '2024-01-31'",
            "select e.n as c0 from e where e.at::date between '2024-01-31' and '2024-01-31'",
            "select e.n as c0 from e where e.at::date <= date '2024-01-31' and e.at >= '2024-01-31'",
            "select e.n as c0 from e where e.at > '2024-01-30' and e.at <= '2024-01-31'",
            "select e.n as c0 from e where e.at::date > date '2024-01-30' and e.at < '2024-02-01'",
            "select e.n as c0 from e where e.at = '2024-01-31'",
        ],
    ),
    (
        "running totals",
        &[
            "select t.id as c0, sum({n}) over (order by {ob}) as c1 from t",
            "select t.id as c0, sum({n}) over (order by {ob} rows between unbounded preceding and current row) as c1 from t",
            "select t.id as c0, sum({n}) over (order by {ob} range between unbounded preceding and current row) as c1 from t",
            "select t.id as c0, sum({n}) over (order by {ob}, t.id) as c1 from t",
            "select t.id as c0, sum({n}) over (order by {ob} rows unbounded preceding) as c1 from t",
            "select t.id as c0, (select sum(o.{nn}) from t as o where o.{obn} <= {obc}) as c1 from t",
            "select t.id as c0, sum({n}) over (partition by {g} order by {ob}) as c1 from t",
            "select t.id as c0, sum({n}) over () as c1 from t",
            "select t.id as c0, (select sum({n}) from t) as c1 from t",
            "select t.id as c0, q.s as c1 from t cross join (select sum({n}) as s from t) q",
        ],
    ),
    (
        "partition totals",
        &[
            "select {g} as c0, {x} as c1, sum({n}) over (partition by {g}) as c2 from t",
            "select {g} as c0, {x} as c1, q.s as c2 from t left join (select {g} as g, sum({n}) as s from t group by 1) q on q.g = {g}",
            "select {g} as c0, {x} as c1, q.s as c2 from t join (select {g} as g, sum({n}) as s from t group by 1) q on q.g = {g}",
            "select {g} as c0, {x} as c1, q.s as c2 from t join (select {g} as g, sum({n}) as s from t group by 1) q on q.g is not distinct from {g}",
            "select {g} as c0, {x} as c1, (select sum(o.{nn}) from t as o where o.{gn} = {g}) as c2 from t",
            "select {g} as c0, {x} as c1, sum({n}) over (partition by {g} order by {ob} rows between unbounded preceding and unbounded following) as c2 from t",
            "select {g} as c0, {x} as c1, sum({n}) over (partition by {g} order by {ob}) as c2 from t",
        ],
    ),
    (
        "windows and filters",
        &[
            "select {x} as c0, count(*) over (partition by {g}) as c1 from t where {p}",
            "select q.x as c0, q.n as c1 from (select t.*, {x} as x, count(*) over (partition by {g}) as n from t) q join t on t.id = q.id where {p}",
            "select {x} as c0, count(*) over (partition by {g}) as c1 from t qualify {p}",
            "select {x} as c0, count(*) filter (where {p}) over (partition by {g}) as c1 from t",
            "select {x} as c0, count(*) filter (where {p}) over (partition by {g}) as c1 from t where {p}",
            "select q.x as c0, count(*) over (partition by q.g) as c1 from (select {x} as x, {g} as g from t where {p}) q",
            "select {x} as c0, sum(case when {p} then 1 else 0 end) over (partition by {g}) as c1 from t",
        ],
    ),
    (
        "neighbours",
        &[
            "select t.id as c0, lag({n}) over (order by {ob}, t.id) as c1 from t",
            "select t.id as c0, lag({n}) over (order by {ob}) as c1 from t",
            "select t.id as c0, lag({n}, 1) over (order by {ob}, t.id) as c1 from t",
            "select t.id as c0, lead({n}) over (order by {obc} desc, t.id desc) as c1 from t",
            "select t.id as c0, lag({n}) over (partition by {g} order by {ob}, t.id) as c1 from t",
            "select t.id as c0, first_value({n}) over (order by {ob}, t.id rows between 1 preceding and 1 preceding) as c1 from t",
            "select t.id as c0, min({n}) over (order by {ob}, t.id rows between 1 preceding and 1 preceding) as c1 from t",
            "select t.id as c0, lag({n}, 1, 0) over (order by {ob}, t.id) as c1 from t",
            "select t.id as c0, coalesce(lag({n}) over (order by {ob}, t.id), 0) as c1 from t",
        ],
    ),
    (
        "first rows",
        &[
            "select {x} as c0 from t order by {ob} limit 2",
            "select {x} as c0 from t order by {ob}, t.id limit 2",
            "select {x} as c0 from t qualify row_number() over (order by {ob}) <= 2",
            "select {x} as c0 from t qualify row_number() over (order by {ob}, t.id) <= 2",
            "select {x} as c0 from t qualify rank() over (order by {ob}) <= 2",
            "select {x} as c0 from t qualify dense_rank() over (order by {ob}) <= 2",
            "select {x} as c0 from (select * from t order by {ob} limit 2) as t",
            "select {x} as c0 from t order by {ob} limit 3",
            "select {x} as c0 from t order by {obc} desc limit 2",
            "select {x} as c0 from (select * from t order by {ob} limit 2) as t where {p}",
            "select {x} as c0 from t where {p} order by {ob} limit 2",
        ],
    ),
    (
        "largest",
        &[
            "select {x} as c0 from t where {n} = (select max({n}) from t)",
            "select {x} as c0 from t where {n} = (select {n} from t order by {n} desc nulls last limit 1)",
            "select {x} as c0 from t where {n} >= all (select {n} from t where {n} is not null)",
            "select {x} as c0 from t qualify rank() over (order by {n} desc) = 1",
            "select {x} as c0 from t qualify rank() over (order by {n} desc nulls last) = 1",
            "select {x} as c0 from t qualify {n} = max({n}) over ()",
            "select {x} as c0 from t where not exists (select 1 from t as o where o.{nn} > {n})",
            "select {x} as c0 from t where not exists (select 1 from t as o where o.{nn} > {n}) and {n} is not null",
            "select {x} as c0 from t order by {n} desc nulls last limit 1",
        ],
    ),
    (
        "sets",
        &[
            "select {g} as c0 from t union select {r} from {o}",
            "select {g} as c0 from t union all select {r} from {o}",
            "select distinct c0 from (select {g} as c0 from t union all select {r} from {o}) q",
            "select {r} as c0 from {o} union select {g} from t",
            "select distinct {g} as c0 from t union all select distinct {r} from {o}",
            "select coalesce({g}, {r}) as c0 from t full join {o} on {g} = {r}",
            "select distinct {g} as c0 from t union all (select {r} from {o} except select {g} from t)",
            "select {g} as c0 from t union distinct select {r} from {o} union distinct select {r} from {o}",
        ],
    ),
    (
        "differences of sets",
        &[
            "select {g} as c0 from t except select {r} from {o}",
            "select distinct {g} as c0 from t where {g} not in (select {r} from {o})",
            "select distinct {g} as c0 from t where not exists (select 1 from {o} where {r} = {g})",
            "select distinct {g} as c0 from t where not exists (select 1 from {o} where {r} is not distinct from {g})",
            "select distinct {g} as c0 from t left join {o} on {r} = {g} where {r} is null",
            "select {g} as c0 from t where not exists (select 1 from {o} where {r} is not distinct from {g}) group by {g}",
            "select {g} as c0 from t except all select {r} from {o}",
            "select {g} as c0 from t except (select {r} from {o} where {r} is not null)",
        ],
    ),
    (
        "common parts of sets",
        &[
            "select {g} as c0 from t intersect select {r} from {o}",
            "select distinct {g} as c0 from t where {g} in (select {r} from {o})",
            "select distinct {g} as c0 from t join {o} on {r} = {g}",
            "select distinct {g} as c0 from t join {o} on {r} is not distinct from {g}",
            "select {r} as c0 from {o} intersect select {g} from t",
            "select {g} as c0 from t intersect all select {r} from {o}",
            "select {g} as c0 from t where exists (select 1 from {o} where {r} is not distinct from {g}) group by 1",
        ],
    ),
    (
        "unions of parts",
        &[
            "select {x} as c0, {y} as c1 from t where {p} or {q}",
            "select {x} as c0, {y} as c1 from t where {p} union all select {x}, {y} from t where {q}",
            "select {x} as c0, {y} as c1 from t where {p} union select {x}, {y} from t where {q}",
            "select {x} as c0, {y} as c1 from t where {p} union all select {x}, {y} from t where {q} and not ({p})",
            "select {x} as c0, {y} as c1 from t where {p} union all select {x}, {y} from t where {q} and ({p}) is not true",
            "select distinct {x} as c0, {y} as c1 from t where {p} or {q}",
            "select {x} as c0, {y} as c1 from t where {q} or {p}",
            "select {x} as c0, {y} as c1 from t where not (not ({p}) and not ({q}))",
        ],
    ),
    (
        "having",
        &[
            "select {g} as c0, count(*) as c1 from t where {gp} group by 1",
            "select {g} as c0, count(*) as c1 from t group by 1 having {gp}",
            "select q.g as c0, q.n as c1 from (select {g} as g, count(*) as n from t group by 1) q where q.g is not null",
            "select {g} as c0, count({g}) as c1 from t where {gp} group by {g}",
            "select {g} as c0, count(*) as c1 from t group by 1 having bool_and({gp})",
            "select {g} as c0, sum(case when {gp} then 1 else 0 end) as c1 from t group by 1",
            "select distinct {g} as c0, count(*) over (partition by {g}) as c1 from t where {gp}",
            "select {g} as c0, count(*) as c1 from t group by all having {gp}",
            "select {g} as c0, count(*) as c1 from t group by {g}, 1 having count(*) > 0 and {gp}",
        ],
    ),
    (
        "outer join filters",
        &[
            "select t.id as c0, {oc} as c1 from t left join {o} on {r} = {k1} where {po}",
            "select t.id as c0, {oc} as c1 from t left join {o} on {r} = {k1} and {po}",
            "select t.id as c0, {oc} as c1 from t join {o} on {r} = {k1} and {po}",
            "select t.id as c0, {oc} as c1 from t left join {o} on {r} = {k1} where {po} or {r} is null",
            "select t.id as c0, q.c as c1 from t left join (select {r} as r, {oc} as c from {o} where {po}) q on q.r = {k1}",
            "select t.id as c0, {oc} as c1 from {o} right join t on {r} = {k1} and {po}",
            "select t.id as c0, {oc} as c1 from {o} right join t on {r} = {k1} where {po}",
            "select t.id as c0, {oc} as c1 from t full join {o} on {r} = {k1} where {po} and t.id is not null",
            "select t.id as c0, {oc} as c1 from t full join {o} on {r} = {k1} and {po} where t.id is not null",
            "select t.id as c0, {oc} as c1 from t full join {o} on {r} = {k1} where t.id is not null and coalesce({po}, true)",
        ],
    ),
    (
        "conditions on the left of outer joins",
        &[
            "select t.id as c0, {oc} as c1 from t left join {o} on {r} = {k1} where {p}",
            "select t.id as c0, {oc} as c1 from t left join {o} on {r} = {k1} and {p}",
            "select t.id as c0, {oc} as c1 from t left join {o} on {r} = {k1} and {p} where {p}",
            "select t.id as c0, {oc} as c1 from (select * from t where {p}) as t left join {o} on {r} = {k1}",
            "select t.id as c0, case when {p} then {oc} end as c1 from t left join {o} on {r} = {k1}",
            "select t.id as c0, case when {p} then {oc} end as c1 from t left join {o} on {r} = {k1} where {p}",
            "select t.id as c0, {oc} as c1 from t full join {o} on {r} = {k1} where {p}",
            "select t.id as c0, {oc} as c1 from t left join {o} on {r} = {k1} where {p} and coalesce({r}, {k1}) = {k1}",
        ],
    ),
    (
        "chains of joins",
        &[
            "select t.id as c0, u.id as c1, v.k as c2 from t left join u on u.t_id = t.id left join v on v.t_id = u.id",
            "select t.id as c0, u.id as c1, v.k as c2 from t left join (u left join v on v.t_id = u.id) on u.t_id = t.id",
            "select t.id as c0, u.id as c1, v.k as c2 from t left join (u join v on v.t_id = u.id) on u.t_id = t.id",
            "select t.id as c0, u.id as c1, v.k as c2 from t left join u on u.t_id = t.id join v on v.t_id = u.id",
            "select t.id as c0, u.id as c1, v.k as c2 from t join u on u.t_id = t.id join v on v.t_id = u.id",
            "select t.id as c0, u.id as c1, v.k as c2 from t join u on u.t_id = t.id left join v on v.t_id = u.id",
            "select t.id as c0, u.id as c1, v.k as c2 from u left join v on v.t_id = u.id right join t on u.t_id = t.id",
            "select t.id as c0, u.id as c1, v.k as c2 from t left join u on u.t_id = t.id left join v on v.t_id = u.id where v.k is not null or u.id is null",
        ],
    ),
    (
        "reads of one table",
        &[
            "select {x} as c0, {y} as c1 from t",
            "select {x} as c0, o.{yn} as c1 from t join t as o on o.id = t.id",
            "select {x} as c0, o.{yn} as c1 from t left join t as o on o.id = t.id",
            "select {x} as c0, o.{yn} as c1 from t join t as o on o.{gn} = {g}",
            "select {x} as c0, q.y as c1 from t join (select t.id as i, max({y}) as y from t group by 1) q on q.i = t.id",
            "select {x} as c0, (select o.{yn} from t as o where o.id = t.id limit 1) as c1 from t",
            "select {x} as c0, {y} as c1 from t where t.id in (select id from t)",
            "select {x} as c0, {y} as c1 from t where exists (select 1 from t as o where o.{gn} = {g})",
            "select {x} as c0, {y} as c1 from t where {g} is not null",
            "select distinct {x} as c0, {y} as c1 from t",
            "select any_value({x}) as c0, max({y}) as c1 from t group by t.id",
        ],
    ),
    (
        "joins for their key",
        &[
            "select u.id as c0, u.x as c1 from u join t on t.id = u.t_id",
            "select u.id as c0, u.x as c1 from u left join t on t.id = u.t_id",
            "select u.id as c0, u.x as c1 from u",
            "select u.id as c0, u.x as c1 from u where u.t_id is not null",
            "select u.id as c0, u.x as c1 from u where exists (select 1 from t where t.id = u.t_id)",
            "select u.id as c0, u.x as c1 from u left join t on t.id = u.t_id where t.id is not null",
            "select distinct u.id as c0, u.x as c1 from u left join t on t.id = u.t_id",
            "select u.id as c0, u.x as c1 from u left join t on t.{gn} = u.t_id",
            "select u.id as c0, u.x as c1 from u group by u.id, u.x",
        ],
    ),
    (
        "cases",
        &[
            "select case when {p} then 'p' when {q} then 'q' else 'r' end as c0 from t",
            "select case when {q} then 'q' when {p} then 'p' else 'r' end as c0 from t",
            "select case when {p} then 'p' when {q} and not ({p}) then 'q' else 'r' end as c0 from t",
            "select case when {p} then 'p' else case when {q} then 'q' else 'r' end end as c0 from t",
            "select case when not ({p}) then case when {q} then 'q' else 'r' end else 'p' end as c0 from t",
            "select if({p}, 'p', if({q}, 'q', 'r')) as c0 from t",
            "select coalesce(case when {p} then 'p' when {q} then 'q' end, 'r') as c0 from t",
            "select case when {p} then 'p' when {q} then 'q' end as c0 from t",
            "select case when ({p}) is true then 'p' when ({q}) is true then 'q' else 'r' end as c0 from t",
        ],
    ),
    (
        "texts",
        &[
            "select t.id as c0, trim(t.s) as c1 from t where t.s like 'a%'",
            "select t.id as c0, ltrim(t.s) as c1 from t where t.s like 'a%'",
            "select t.id as c0, t.s as c1 from t where starts_with(t.s, 'a')",
            "select t.id as c0, trim(t.s) as c1 from t where left(t.s, 1) = 'a'",
            "select t.id as c0, trim(t.s) as c1 from t where lower(t.s) like 'a%'",
            "select t.id as c0, trim(t.s) as c1 from t where t.s ilike 'a%'",
            "select t.id as c0, trim(t.s) as c1 from t where substring(t.s, 1, 1) = 'a'",
            "select t.id as c0, trim(both from t.s) as c1 from t where t.s like 'a%'",
            "select t.id as c0, coalesce(trim(t.s), '') as c1 from t where t.s like 'a%'",
            "select t.id as c0, trim(t.s) as c1 from t where t.s >= 'a' and t.s < 'b'",
        ],
    ),
    (
        "filters below groups",
        &[
            "select {k1} as c0, count(*) as c1 from {o} join t on {r} = {k1} where {f} group by {k1}",
            "select {k1} as c0, count(*) as c1 from {o} join t on {r} = {k1} group by {k1}",
            "select {k1} as c0, count(*) as c1 from {o} join (select * from t where {f}) as t on {r} = {k1} group by {k1}",
            "select t.id as c0, q.n as c1 from t join (select {r} as r, count(*) as n from {o} group by 1) q on q.r = {k1} where {f}",
            "select t.id as c0, q.n as c1 from t join (select {r} as r, count(*) as n from {o} group by 1) q on q.r = {k1}",
            "select {k1} as c0, count(*) as c1 from {o} join t on {r} = {k1} where {po} group by {k1}",
            "select {k1} as c0, count({om}) as c1 from {o} join t on {r} = {k1} where {f} group by {k1}",
        ],
    ),
    (
        "filters below distinct rows",
        &[
            "select distinct t.id as c0, {x} as c1 from t join {o} on {r} = {k1} where {f}",
            "select distinct t.id as c0, {x} as c1 from t join {o} on {r} = {k1}",
            "select distinct t.id as c0, {x} as c1 from t join {o} on {r} = {k1} where {po}",
            "select t.id as c0, {x} as c1 from t where {f} and exists (select 1 from {o} where {r} = {k1})",
            "select t.id as c0, {x} as c1 from t where {f} and {k1} in (select {r} from {o} where {po})",
            "select t.id as c0, {x} as c1 from t join (select distinct {r} as r from {o} where {po}) q on q.r = {k1} where {f}",
            "select t.id as c0, {x} as c1 from t join (select distinct {r} as r from {o}) q on q.r = {k1} where {f}",
            "select t.id as c0, {x} as c1 from t join (select {r} as r from {o} where {po} group by 1) q on q.r = {k1}",
        ],
    ),
    (
        "groups below outer joins",
        &[
            "select t.id as c0, q.n as c1 from t left join (select {r} as r, count(*) as n from {o} where {po} group by 1) q on q.r = {k1}",
            "select t.id as c0, q.n as c1 from t left join (select {r} as r, count(*) as n from {o} group by 1) q on q.r = {k1}",
            "select t.id as c0, q.n as c1 from t left join (select {r} as r, count(*) as n from {o} group by 1 having count(*) > 0) q on q.r = {k1}",
            "select t.id as c0, q.n as c1 from t left join (select {r} as r, count(*) as n from {o} group by 1) q on q.r = {k1} where q.n is not null",
            "select t.id as c0, q.n as c1 from t left join (select {r} as r, count(*) as n from {o} where {r} is not null group by 1) q on q.r = {k1}",
            "select t.id as c0, q.n as c1 from t left join (select t.id as r, count(*) as n from t where {f} group by 1) q on q.r = {key}",
            "select t.id as c0, q.n as c1 from t left join (select t.id as r, count(*) as n from t group by 1) q on q.r = {key}",
            "select t.id as c0, q.n as c1 from t left join (select distinct t.id as r, 1 as n from t where {f}) q on q.r = {key}",
        ],
    ),
    (
        "correlated counts",
        &[
            "select t.id as c0, (select count(*) from t as o where o.id = {key} and {fo}) as c1 from t",
            "select t.id as c0, (select count(*) from t as o where o.id = {key}) as c1 from t",
            "select t.id as c0, (select count(o.{fn}) from t as o where o.id = {key}) as c1 from t",
            "select t.id as c0, case when o.id is null then 0 else 1 end as c1 from t left join t as o on o.id = {key} and {fo}",
            "select t.id as c0, case when o.id is null then 0 else 1 end as c1 from t left join t as o on o.id = {key}",
            "select t.id as c0, case when exists (select 1 from t as o where o.id = {key} and {fo}) then 1 else 0 end as c1 from t",
            "select t.id as c0, count(o.id) as c1 from t left join t as o on o.id = {key} where {fo} or o.id is null group by 1",
            "select t.id as c0, count(o.id) as c1 from t left join t as o on o.id = {key} and {fo} group by 1",
        ],
    ),
    (
        "nearest rows",
        &[
            "select t.id as c0, {om} as c1 from t asof join {o} on {r} = {k1} and {om} <= t.b",
            "select t.id as c0, {om} as c1 from t asof join {o} on t.b >= {om} and {k1} = {r}",
            "select t.id as c0, {om} as c1 from t asof left join {o} on {r} = {k1} and {om} <= t.b where {om} is not null",
            "select t.id as c0, {om} as c1 from t asof left join {o} on {r} = {k1} and {om} <= t.b",
            "select t.id as c0, {om} as c1 from t asof join {o} on {r} = {k1} and {om} < t.b",
            "select t.id as c0, {om} as c1 from t asof join {o} on {r} = {k1} and {om} >= t.b",
            "select t.id as c0, max({om}) as c1 from t join {o} on {r} = {k1} and {om} <= t.b group by 1",
        ],
    ),
];

/// What may stand around a member; `{body}` has the columns c0, c1, ...
const CONTEXTS: [&str; 14] = [
    "{body}",
    "with q as ({body}) select * from q",
    "select count(*) as n, count(c0) as m, min(c0) as l, max(c0) as h from ({body}) q",
    "select c0, count(*) as n from ({body}) q group by 1",
    "select distinct c0 from ({body}) q",
    "select * from ({body}) q where c0 is not null",
    "select * from ({body}) q where c0 is null",
    "select t.id, q.c0 from t left join ({body}) q on q.c0 = t.a",
    "select t.id from t where exists (select 1 from ({body}) q where q.c0 = t.b)",
    "select t.id from t where t.a not in (select c0 from ({body}) q where c0 is not null)",
    "select q.c0, t.s from ({body}) q join t on t.id = q.c0",
    "select c0, row_number() over (partition by c0 order by c0) as n from ({body}) q",
    "select c0 from ({body}) q union select t.a from t",
    "select t.id, (select count(*) from ({body}) q where q.c0 = t.a) as n from t",
];

/// A pair of a random family; the schema is the caller's.
pub(super) fn random(rng: &mut SplitMix64, schema: String) -> Pair {
    let families = FAMILIES.iter().chain(&GROUP_FAMILIES);
    let Some((family, members)) = families.clone().nth(rng.below(families.count())) else { unreachable!() };
    let pick = |rng: &mut SplitMix64, from: &[&str]| from[rng.below(from.len())].to_owned();
    let whole = ["id", "a", "b"];
    let any = ["id", "a", "b", "s", "d"];
    let mut holes: Vec<(&'static str, String)> = Vec::new();
    for (qualified, bare, from) in [
        ("x", "xn", &any[..]),
        ("y", "yn", &any[..]),
        ("g", "gn", &whole[..]),
        ("h", "hn", &any[..]),
        ("n", "nn", &whole[..]),
        ("m", "mn", &whole[..]),
        ("obc", "obn", &any[..]),
    ] {
        let column = pick(rng, from);
        holes.push((qualified, format!("t.{column}")));
        holes.push((bare, column));
    }
    let key = pick(rng, &["t.id", "t.id", "t.a"]);
    holes.push(("k1", key));
    holes.push(("key", pick(rng, &["t.id", "t.a", "t.b"])));
    holes.push(("ob", pick(rng, &["{obc}", "{obc}", "{obc} desc", "{obc} nulls first"])));
    let (other, refs, columns, measures): (_, &[&str], &[&str], &[&str]) = match rng.below(3) {
        0 => ("u", &["u.t_id", "u.t_id", "u.x", "u.id"], &["u.id", "u.x", "u.s"], &["u.x", "u.id"]),
        1 => ("v", &["v.t_id", "v.t_id", "v.k"], &["v.k", "v.w"], &["v.k", "v.w"]),
        _ => ("e", &["e.t_id", "e.id"], &["e.n", "e.f", "e.at"], &["e.n", "e.f"]),
    };
    holes.push(("o", other.to_owned()));
    holes.push(("r", pick(rng, refs)));
    holes.push(("oc", pick(rng, columns)));
    holes.push(("om", pick(rng, measures)));
    let op = pick(rng, &["=", "<>", "<", ">="]);
    let measure = pick(rng, measures);
    let low = rng.below(3);
    holes.push((
        "po",
        match rng.below(4) {
            0 => format!("{measure} is not null"),
            1 => format!("coalesce({measure}, 0) {op} {low}"),
            _ => format!("{measure} {op} {low}"),
        },
    ));
    for name in ["p", "q"] {
        let column = pick(rng, &["t.id", "t.a", "t.b"]);
        let op = pick(rng, &["=", "<>", "<", ">=", ">"]);
        let text = match rng.below(7) {
            0 => format!("{column} is null"),
            1 => format!("{column} is not null"),
            2 => format!("{column} in (1, 2)"),
            3 => format!("t.s {op} 'a'"),
            4 => format!("{column} {op} t.b"),
            _ => format!("{column} {op} {}", rng.below(3)),
        };
        holes.push((name, text));
    }
    holes.push((
        "gp",
        match rng.below(3) {
            0 => "{g} is not null".to_owned(),
            1 => format!("{{g}} > {}", rng.below(3)),
            _ => format!("coalesce({{g}}, 1) <> {}", rng.below(3)),
        },
    ));
    holes.push(("i", rng.below(3).to_string()));
    let tested = pick(rng, &["a", "b", "s"]);
    holes.push(("f", format!("t.{tested} is not null")));
    holes.push(("fo", format!("o.{tested} is not null")));
    holes.push(("fn", tested));
    let holes = Holes(holes);
    let first = rng.below(members.len());
    let second = (first + 1 + rng.below(members.len() - 1)) % members.len();
    let (golden, candidate) = around(rng, &holes.fill(members[first]), &holes.fill(members[second]));
    Pair { schema, golden, candidate, rewrite: format!("{family}: {first} and {second}") }
}

/// A context around both, or around one alone a CTE.
pub(super) fn around(rng: &mut SplitMix64, golden: &str, candidate: &str) -> (String, String) {
    let context = CONTEXTS[if rng.below(3) == 0 { 0 } else { rng.below(CONTEXTS.len()) }];
    let other = if context == "{body}" && rng.below(20) == 0 { CONTEXTS[rng.below(2)] } else { context };
    (context.replace("{body}", golden), other.replace("{body}", candidate))
}
