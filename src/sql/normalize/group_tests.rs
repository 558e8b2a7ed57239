//! Rules of groups and windows: each with pairs that it proves and pairs just outside of its condition.

use super::tests::{equal, open};

#[test]
fn groups_that_a_condition_keeps() {
    equal(
        "select s, max(a) as m from t group by s having max(a) > 1",
        "select s, max(a) as m from t where a > 1 group by s",
    );
    equal("select s from t group by s having min(a) <= 1", "select distinct s from t where a < 2");
    equal(
        "select s, max(a) filter (where f) as m from t group by s having max(a) filter (where f) > 1",
        "select s, max(a) as m from t where f and a > 1 group by s",
    );
    open(
        "select s, min(a) as m from t group by s having max(a) > 1",
        "select s, min(a) as m from t where a > 1 group by s",
    );
    open(
        "select s, max(a) as m from t group by s having max(a) < 1",
        "select s, max(a) as m from t where a < 1 group by s",
    );
    open("select max(a) as m from t having max(a) > 1", "select max(a) as m from t where a > 1");
    equal(
        "select s, sum(a) as m from t group by s having sum(a) is not null",
        "select s, sum(a) as m from t where a is not null group by s",
    );
    equal(
        "select s, count(a) as m from t group by s having count(a) > 0",
        "select s, count(*) as m from t where a is not null group by s",
    );
    equal(
        "select s, avg(a) as m, count(a) as n from t group by s having count(a) >= 2",
        "select s, avg(a) as m, count(*) as n from t where a is not null group by s having count(*) >= 2",
    );
    open(
        "select s, sum(a) as m, count(*) as n from t group by s having sum(a) is not null",
        "select s, sum(a) as m, count(*) as n from t where a is not null group by s",
    );
    open(
        "select s, count(a) as m from t group by s having count(a) <> 1",
        "select s, count(a) as m from t where a is not null group by s having count(a) <> 1",
    );
    equal(
        "select s, count(*) as n from t group by s having count(*) > 0",
        "select s, count(*) as n from t group by s",
    );
    equal("select s from t group by s having bool_or(f)", "select distinct s from t where f");
    open("select s from t group by s having bool_and(f)", "select distinct s from t where f");
}

#[test]
fn sums_in_which_some_rows_stand_for_zero() {
    equal(
        "select s, sum(coalesce(a, 0)) as m from t group by s",
        "select s, coalesce(sum(a), 0) as m from t group by s",
    );
    open("select sum(coalesce(a, 0)) as m from t", "select coalesce(sum(a), 0) as m from t");
    open(
        "select s, sum(coalesce(a, 0)) filter (where f) as m from t group by s",
        "select s, coalesce(sum(a) filter (where f), 0) as m from t group by s",
    );
    open(
        "select s, sum(coalesce(a, 1)) as m from t group by s",
        "select s, coalesce(sum(a), 1) as m from t group by s",
    );
    equal(
        "select s, sum(case when f then p else 0 end) as m from t group by s",
        "select s, coalesce(sum(case when f then p end), 0) as m from t group by s",
    );
    // Where only NULLs are added the one is NULL, the other 0.
    open(
        "select s, sum(case when f then a else 0 end) as m from t group by s",
        "select s, coalesce(sum(case when f then a end), 0) as m from t group by s",
    );
    equal(
        "select coalesce(sum(case when a > 1 then 1 end), 0) as m from t",
        "select count(*) filter (where a > 1) as m from t",
    );
    open(
        "select sum(case when a > 1 then 1 end) as m from t",
        "select count(*) filter (where a > 1) as m from t",
    );
    equal(
        "select sum(m) as m from (select s, sum(coalesce(a, 0)) as m from t group by s) q",
        "select sum(coalesce(a, 0)) as m from t",
    );
}

#[test]
fn windows_over_the_reversed_order() {
    equal(
        "select id, lag(a) over (order by id) as r from t",
        "select id, lead(a) over (order by id desc) as r from t",
    );
    open(
        "select id, lag(a) over (order by s) as r from t",
        "select id, lead(a) over (order by s desc nulls first) as r from t",
    );
    open(
        "select id, lag(a) over (order by s, id) as r from t",
        "select id, lead(a) over (order by s desc, id desc) as r from t",
    );
    equal(
        "select id, lag(a) over (partition by f order by s, id) as r from t",
        "select id, lead(a) over (partition by f order by s desc nulls first, id desc) as r from t",
    );
    equal(
        "select id, first_value(a) over (partition by s order by id) as r from t",
        "select id, last_value(a) over (partition by s order by id desc
            rows between unbounded preceding and unbounded following) as r from t",
    );
    open(
        "select id, first_value(a) over (partition by s order by id) as r from t",
        "select id, last_value(a) over (partition by s order by id desc) as r from t",
    );
    equal(
        "select id, sum(p) over (order by s) as r from t",
        "select id, sum(p) over (order by s desc nulls first range between current row and unbounded following) as r
            from t",
    );
    open(
        "select id, sum(p) over (order by s rows unbounded preceding) as r from t",
        "select id, sum(p) over (order by s desc nulls first rows between current row and unbounded following) as r
            from t",
    );
    open(
        "select id, row_number() over (order by id) as r from t",
        "select id, row_number() over (order by id desc) as r from t",
    );
}

#[test]
fn partitions_that_are_groups() {
    equal(
        "select distinct s, count(*) over (partition by s) as n from t",
        "select s, count(*) as n from t group by s",
    );
    open("select s, count(*) over (partition by s) as n from t", "select s, count(*) as n from t group by s");
    open(
        "select distinct s, a, count(*) over (partition by s) as n from t",
        "select s, a, count(*) as n from t group by s, a",
    );
    open(
        "select distinct s, count(*) over (partition by s order by a) as n from t",
        "select s, count(*) as n from t group by s",
    );
    // What is equated with a column of the partition, and an enclosing column beside it.
    equal(
        "select distinct a from t qualify a = min(b) over (partition by a)",
        "select a from t group by a having a = min(b)",
    );
    equal(
        "select id from u where exists (select 1 from (select distinct a, max(b) over (partition by a) as m from t) q
            where q.a = u.x and q.m > 1)",
        "select id from u where exists (select 1 from (select a, max(b) as m from t group by a) q
            where q.a = u.x and q.m > 1)",
    );
    equal(
        "select id, sum(p) over (partition by id) as m, rank() over (partition by id order by a) as r from t",
        "select id, p as m, 1 as r from t",
    );
    open("select id, sum(p) over (partition by s) as m from t", "select id, p as m from t");
}

#[test]
fn the_greatest_of_a_partition() {
    equal(
        "select id, s from t qualify id = max(id) over (partition by s)",
        "select id, s from t qualify row_number() over (partition by s order by id desc) = 1",
    );
    equal(
        "select id, a from t qualify a = min(a) over (partition by s)",
        "select id, a from (select id, a, rank() over (partition by s order by a) as r from t) q where r = 1 and a is not null",
    );
    // Ties, and partitions in which there is nothing but NULL.
    open(
        "select id, a from t where a is not null qualify a = max(a) over (partition by s)",
        "select id, a from t where a is not null qualify row_number() over (partition by s order by a desc) = 1",
    );
    open(
        "select id, a from t qualify a = max(a) over (partition by s)",
        "select id, a from t qualify rank() over (partition by s order by a desc nulls last) = 1",
    );
    open(
        "select id, s from t qualify id = max(id) over (partition by s)",
        "select id, s from t qualify row_number() over (partition by s order by id) = 1",
    );
}
