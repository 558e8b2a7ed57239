//! Families of groups and windows, see `families.rs`.

pub(super) const GROUP_FAMILIES: [(&str, &[&str]); 6] = [
    (
        "groups kept by their greatest value",
        &[
            "select {g} as c0, max({m}) as c1 from t group by 1 having max({m}) > {i}",
            "select {g} as c0, max({m}) as c1 from t where {m} > {i} group by 1",
            "select {g} as c0, max({m}) as c1 from t group by 1 having max({m}) >= {i}",
            "select {g} as c0, max({m}) as c1 from t where {m} > {i} group by 1 having count(*) > 0",
            "select {g} as c0, max({m}) as c1 from t group by 1 having bool_or({m} > {i})",
            "select {g} as c0, max({m}) filter (where {m} > {i}) as c1 from t group by 1 having count(*) filter (where {m} > {i}) > 0",
            "select {g} as c0, min({m}) as c1 from t group by 1 having max({m}) > {i}",
            "select {g} as c0, min({m}) as c1 from t where {m} > {i} group by 1",
        ],
    ),
    (
        "groups kept by what is there",
        &[
            "select {g} as c0, sum({m}) as c1 from t group by 1 having count({m}) > 0",
            "select {g} as c0, sum({m}) as c1 from t group by 1 having sum({m}) is not null",
            "select {g} as c0, sum({m}) as c1 from t where {m} is not null group by 1",
            "select {g} as c0, sum({m}) as c1 from t group by 1 having count(*) > 0",
            "select {g} as c0, sum({m}) as c1 from t group by 1",
            "select {g} as c0, sum({m}) as c1 from t group by 1 having sum({n}) is not null",
            "select {g} as c0, sum({m}) as c1 from t group by 1 having count({m}) >= 2",
            "select {g} as c0, sum({m}) as c1 from t where {m} is not null group by 1 having count(*) >= 2",
            "select {g} as c0, sum({m}) as c1 from t group by 1 having count(*) >= 2",
        ],
    ),
    (
        "sums with nothing as zero",
        &[
            "select {g} as c0, sum(coalesce({m}, 0)) as c1 from t group by 1",
            "select {g} as c0, coalesce(sum({m}), 0) as c1 from t group by 1",
            "select {g} as c0, sum(case when {p} then {m} else 0 end) as c1 from t group by 1",
            "select {g} as c0, coalesce(sum({m}) filter (where {p}), 0) as c1 from t group by 1",
            "select {g} as c0, sum(case when {p} then coalesce({m}, 0) else 0 end) as c1 from t group by 1",
            "select {g} as c0, coalesce(sum(case when {p} then 1 end), 0) as c1 from t group by 1",
            "select {g} as c0, count(*) filter (where {p}) as c1 from t group by 1",
            "select {g} as c0, sum({m}) as c1 from t group by 1",
        ],
    ),
    (
        "windows over the reversed order",
        &[
            "select {k1} as c0, lag({m}) over (partition by {g} order by {n}, t.id) as c1 from t",
            "select {k1} as c0, lead({m}) over (partition by {g} order by {n} desc nulls first, t.id desc) as c1 from t",
            "select {k1} as c0, lead({m}) over (partition by {g} order by {n} desc, t.id desc) as c1 from t",
            "select {k1} as c0, lag({m}) over (partition by {g} order by {n}) as c1 from t",
            "select {k1} as c0, sum({m}) over (partition by {g} order by {n}) as c1 from t",
            "select {k1} as c0, sum({m}) over (partition by {g} order by {n} desc nulls first range between current row and unbounded following) as c1 from t",
            "select {k1} as c0, sum({m}) over (partition by {g} order by {n}, t.id rows unbounded preceding) as c1 from t",
            "select {k1} as c0, sum({m}) over (partition by {g} order by {n} desc nulls first, t.id desc rows between current row and unbounded following) as c1 from t",
            "select {k1} as c0, first_value({m}) over (partition by {g} order by {n}, t.id) as c1 from t",
            "select {k1} as c0, last_value({m}) over (partition by {g} order by {n} desc nulls first, t.id desc rows between unbounded preceding and unbounded following) as c1 from t",
        ],
    ),
    (
        "partitions and groups",
        &[
            "select distinct {g} as c0, count({m}) over (partition by {g}) as c1 from t where {p}",
            "select {g} as c0, count({m}) as c1 from t where {p} group by 1",
            "select {g} as c0, count({m}) over (partition by {g}) as c1 from t where {p}",
            "select distinct {g} as c0, count({m}) over (partition by {g}, {h}) as c1 from t where {p}",
            "select distinct c0, c1 from (select {g} as c0, {h} as c2, count({m}) over (partition by {g}) as c1 from t where {p}) q",
            "select distinct {g} as c0, count({m}) over (partition by {g}) as c1 from t where {p} qualify {g} = max({n}) over (partition by {g})",
            "select {g} as c0, count({m}) as c1 from t where {p} group by 1 having {g} = max({n})",
        ],
    ),
    (
        "the greatest of a partition",
        &[
            "select {k1} as c0, {m} as c1 from t qualify {m} = max({m}) over (partition by {g})",
            "select {k1} as c0, {m} as c1 from t where {m} is not null qualify rank() over (partition by {g} order by {m} desc) = 1",
            "select {k1} as c0, {m} as c1 from t qualify rank() over (partition by {g} order by {m} desc nulls last) = 1 and {m} is not null",
            "select {k1} as c0, {m} as c1 from t qualify row_number() over (partition by {g} order by {m} desc) = 1",
            "select {k1} as c0, {m} as c1 from t where {m} is not null qualify row_number() over (partition by {g} order by {m} desc) = 1",
            "select {k1} as c0, {m} as c1 from t qualify {m} = min({m}) over (partition by {g})",
            "select {k1} as c0, {m} as c1 from t qualify {m} = max({m}) filter (where {p}) over (partition by {g})",
        ],
    ),
];
