//! Random pairs of queries over random schemas: a query, and the same one after a random rewrite. Whether the rewrite
//! keeps the meaning is left open; the databases say it.

use assay::stats::rng::SplitMix64;

/// A pair with its schema as JSON.
pub(super) struct Pair {
    pub(super) schema: String,
    pub(super) golden: String,
    pub(super) candidate: String,
    /// The rewrites that lead from one to the other.
    pub(super) rewrite: String,
}

struct Gen<'a> {
    rng: &'a mut SplitMix64,
}

/// One SELECT in parts, so that rewrites need no parser.
#[derive(Clone)]
struct Select {
    distinct: bool,
    items: Vec<String>,
    from: String,
    joins: Vec<Join>,
    filter: Vec<Predicate>,
    group: Vec<String>,
    having: Vec<Predicate>,
    qualify: Option<String>,
}

#[derive(Clone)]
struct Join {
    kind: &'static str,
    table: String,
    on: Vec<Predicate>,
}

#[derive(Clone)]
enum Predicate {
    Compare(String, &'static str, String),
    In(String, Vec<String>),
    Between(String, String, String),
    Null(String, bool),
    Not(Box<Predicate>),
    Or(Box<Predicate>, Box<Predicate>),
    Raw(String),
}

impl Predicate {
    fn sql(&self) -> String {
        match self {
            Self::Compare(a, op, b) => format!("{a} {op} {b}"),
            Self::In(a, list) => format!("{a} in ({})", list.join(", ")),
            Self::Between(a, low, high) => format!("{a} between {low} and {high}"),
            Self::Null(a, true) => format!("{a} is null"),
            Self::Null(a, false) => format!("{a} is not null"),
            Self::Not(inner) => format!("not ({})", inner.sql()),
            Self::Or(a, b) => format!("({} or {})", a.sql(), b.sql()),
            Self::Raw(text) => text.clone(),
        }
    }
}

fn all(predicates: &[Predicate]) -> String {
    predicates.iter().map(Predicate::sql).collect::<Vec<_>>().join(" and ")
}

impl Select {
    fn sql(&self) -> String {
        let mut out = String::from(if self.distinct { "select distinct " } else { "select " });
        out.push_str(
            &self
                .items
                .iter()
                .enumerate()
                .map(|(n, item)| format!("{item} as c{n}"))
                .collect::<Vec<_>>()
                .join(", "),
        );
        out.push_str(&format!(" from {}", self.from));
        for join in &self.joins {
            match join.kind {
                "cross join" => out.push_str(&format!(" cross join {}", join.table)),
                kind => out.push_str(&format!(" {kind} {} on {}", join.table, all(&join.on))),
            }
        }
        if !self.filter.is_empty() {
            out.push_str(&format!(" where {}", all(&self.filter)));
        }
        if !self.group.is_empty() {
            out.push_str(&format!(" group by {}", self.group.join(", ")));
        }
        if !self.having.is_empty() {
            out.push_str(&format!(" having {}", all(&self.having)));
        }
        if let Some(qualify) = &self.qualify {
            out.push_str(&format!(" qualify {qualify}"));
        }
        out
    }
}

pub(super) fn random(rng: &mut SplitMix64) -> Pair {
    let mut generator = Gen { rng };
    let schema = generator.schema();
    match generator.rng.below(20) {
        0..8 => return super::families::random(rng, schema),
        8..13 => return super::chains::random(rng, schema),
        _ => {}
    }
    let golden = generator.select();
    let mut candidate = golden.clone();
    let mut names = Vec::new();
    for _ in 0..1 + generator.rng.below(3) {
        if let Some(name) = generator.rewrite(&mut candidate) {
            names.push(name);
        }
    }
    let (a, b) = generator.wrap(&golden, &candidate, &mut names);
    Pair { schema, golden: a, candidate: b, rewrite: names.join(", ") }
}

impl Gen<'_> {
    fn chance(&mut self, percent: usize) -> bool {
        self.rng.below(100) < percent
    }

    fn pick<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.rng.below(from.len())]
    }

    fn schema(&mut self) -> String {
        let key = |yes: bool, column: &str| if yes { format!("[\"{column}\"]") } else { "[]".to_owned() };
        let nullable = |yes: bool| if yes { "true" } else { "false" };
        let t_key = self.chance(70);
        let u_key = self.chance(60);
        let unique = if self.chance(30) { "[[\"a\"]]" } else { "[]" };
        let foreign = if t_key && self.chance(60) {
            r#"[{"columns": ["t_id"], "table": "t", "references": ["id"]}]"#
        } else {
            "[]"
        };
        let referring = if u_key && self.chance(60) {
            r#"[{"columns": ["u_id"], "table": "u", "references": ["id"]}]"#
        } else {
            "[]"
        };
        let w_key = self.chance(60);
        let nulls: Vec<bool> = (0..7).map(|_| self.chance(60)).collect();
        format!(
            r#"{{"tables": {{
 "t": {{"columns": {{"id": {{"type": "INTEGER", "nullable": {}}}, "a": {{"type": "INTEGER", "nullable": {}}}, "b": {{"type": "INTEGER", "nullable": {}}}, "s": {{"type": "VARCHAR", "nullable": {}}}, "d": {{"type": "DATE", "nullable": true}}}}, "primary_key": {}, "unique": {unique}}},
 "u": {{"columns": {{"id": {{"type": "INTEGER", "nullable": true}}, "t_id": {{"type": "INTEGER", "nullable": {}}}, "x": {{"type": "INTEGER", "nullable": {}}}, "s": {{"type": "VARCHAR", "nullable": true}}}}, "primary_key": {}, "foreign_keys": {foreign}}},
 "w": {{"columns": {{"id": {{"type": "INTEGER", "nullable": true}}, "u_id": {{"type": "INTEGER", "nullable": {}}}, "y": {{"type": "INTEGER", "nullable": true}}}}, "primary_key": {}, "foreign_keys": {referring}}},
 "v": {{"columns": {{"k": {{"type": "INTEGER", "nullable": true}}, "w": {{"type": "DECIMAL(8,2)", "nullable": true}}, "t_id": {{"type": "INTEGER", "nullable": {}}}}}}},
 "e": {{"columns": {{"id": {{"type": "BIGINT", "nullable": {}}}, "t_id": {{"type": "INTEGER", "nullable": true}}, "at": {{"type": "TIMESTAMP", "nullable": true}}, "n": {{"type": "BIGINT", "nullable": {}}}, "f": {{"type": "DOUBLE", "nullable": true}}}}, "unique": [["id"]]}}
}}}}"#,
            nullable(!t_key && nulls[0]),
            nullable(nulls[1]),
            nullable(nulls[2]),
            nullable(nulls[3]),
            key(t_key, "id"),
            nullable(nulls[4]),
            nullable(nulls[5]),
            key(u_key, "id"),
            nullable(nulls[6]),
            key(w_key, "id"),
            nullable(nulls[0]),
            nullable(nulls[1]),
            nullable(nulls[2]),
        )
    }

    fn columns(&self, select: &Select) -> Vec<(&'static str, &'static str)> {
        let mut columns = vec![("t.id", "n"), ("t.a", "n"), ("t.b", "n"), ("t.s", "s"), ("t.d", "d")];
        for join in &select.joins {
            match join.table.as_str() {
                "u" => columns.extend([("u.id", "n"), ("u.t_id", "n"), ("u.x", "n"), ("u.s", "s")]),
                "v" => columns.extend([("v.k", "n"), ("v.w", "n"), ("v.t_id", "n")]),
                _ => {}
            }
        }
        columns
    }

    fn literal(&mut self, kind: &str) -> String {
        match kind {
            "s" => self.pick(&["'a'", "'b'", "'B'", "''"]).to_owned(),
            "d" => self.pick(&["date '2024-01-01'", "date '2024-01-31'", "date '2024-02-01'"]).to_owned(),
            _ => self.pick(&["0", "1", "2", "3", "10"]).to_owned(),
        }
    }

    fn predicate(&mut self, columns: &[(&'static str, &'static str)], depth: usize) -> Predicate {
        let (column, kind) = columns[self.rng.below(columns.len())];
        match self.rng.below(if depth == 0 { 8 } else { 11 }) {
            0..=3 => {
                let op = self.pick(&["=", "<", "<=", ">", ">=", "<>"]);
                let same: Vec<&(&str, &str)> =
                    columns.iter().filter(|(other, of)| *of == kind && *other != column).collect();
                let right = if !same.is_empty() && self.chance(20) {
                    same[self.rng.below(same.len())].0.to_owned()
                } else {
                    self.literal(kind)
                };
                Predicate::Compare(column.to_owned(), op, right)
            }
            4 => {
                let list = (0..1 + self.rng.below(3)).map(|_| self.literal(kind)).collect();
                Predicate::In(column.to_owned(), list)
            }
            5 => Predicate::Between(column.to_owned(), self.literal(kind), self.literal(kind)),
            6 => Predicate::Null(column.to_owned(), self.chance(50)),
            7 => {
                let texts = [
                    "exists (select 1 from v as v2 where v2.t_id = t.id)",
                    "t.id in (select t_id from v as v2)",
                    "t.a not in (select k from v as v2)",
                    "not exists (select 1 from v as v2 where v2.k = t.a)",
                    "t.b > (select avg(k) from v as v2)",
                    "coalesce(t.a, 0) > 1",
                    "t.s like 'a%'",
                ];
                Predicate::Raw(self.pick(&texts).to_owned())
            }
            8 => Predicate::Not(Box::new(self.predicate(columns, depth - 1))),
            _ => Predicate::Or(
                Box::new(self.predicate(columns, depth - 1)),
                Box::new(self.predicate(columns, depth - 1)),
            ),
        }
    }

    fn select(&mut self) -> Select {
        let mut select = Select {
            distinct: false,
            items: Vec::new(),
            from: "t".to_owned(),
            joins: Vec::new(),
            filter: Vec::new(),
            group: Vec::new(),
            having: Vec::new(),
            qualify: None,
        };
        for table in ["u", "v"] {
            if self.chance(55) {
                let kind = self.pick(&[
                    "join",
                    "join",
                    "left join",
                    "left join",
                    "right join",
                    "full join",
                    "cross join",
                ]);
                let key = if table == "v" && self.chance(25) {
                    "v.k = t.a"
                } else if table == "u" {
                    "u.t_id = t.id"
                } else {
                    "v.t_id = t.id"
                };
                select.joins.push(Join {
                    kind,
                    table: table.to_owned(),
                    on: vec![Predicate::Raw(key.to_owned())],
                });
                if self.chance(25) && kind != "cross join" {
                    let columns = self.columns(&select);
                    let extra = self.predicate(&columns, 1);
                    if !matches!(extra, Predicate::Raw(_)) {
                        let last = select.joins.len() - 1;
                        select.joins[last].on.push(extra);
                    }
                }
            }
        }
        let columns = self.columns(&select);
        for _ in 0..self.rng.below(4) {
            let predicate = self.predicate(&columns, 2);
            select.filter.push(predicate);
        }
        let column = |generator: &mut Self| columns[generator.rng.below(columns.len())].0.to_owned();
        match self.rng.below(10) {
            0..=3 => {
                for _ in 0..1 + self.rng.below(2) {
                    let key = column(self);
                    if !select.group.contains(&key) {
                        select.group.push(key);
                    }
                }
                if self.chance(20) {
                    select.group.clear();
                }
                select.items.clone_from(&select.group);
                for _ in 0..1 + self.rng.below(2) {
                    let numeric: Vec<&str> =
                        columns.iter().filter(|(_, kind)| *kind == "n").map(|(name, _)| *name).collect();
                    let of = numeric[self.rng.below(numeric.len())];
                    let item = match self.rng.below(9) {
                        0 => "count(*)".to_owned(),
                        1 => format!("count({of})"),
                        2 => format!("count(distinct {of})"),
                        3 => format!("min({of})"),
                        4 => format!("max({of})"),
                        5 => format!("sum(coalesce({of}, 0))"),
                        6 => format!("coalesce(sum({of}), 0)"),
                        7 => format!("count(case when {of} > 1 then 1 end)"),
                        _ => format!("sum({of})"),
                    };
                    select.items.push(item);
                }
                if self.chance(30) {
                    let having = self.pick(&["count(*)", "sum(t.a)", "max(t.b)"]);
                    let op = self.pick(&[">", ">=", "="]);
                    select.having.push(Predicate::Compare(having.to_owned(), op, self.literal("n")));
                }
            }
            4 => {
                let key = column(self);
                let order = column(self);
                let function = self.pick(&["row_number()", "rank()", "dense_rank()", "count(*)", "sum(t.a)"]);
                let window = format!("{function} over (partition by {key} order by {order})");
                select.items = vec![column(self), column(self)];
                if self.chance(50) {
                    select.qualify = Some(format!("{window} = {}", self.pick(&["1", "2"])));
                } else {
                    select.items.push(window);
                }
            }
            _ => {
                for _ in 0..1 + self.rng.below(3) {
                    let of = column(self);
                    let item = match self.rng.below(6) {
                        0 => format!("coalesce({of}, {of})"),
                        1 => format!("case when {} then 1 else 0 end", self.predicate(&columns, 1).sql()),
                        2 => format!("{of} is null"),
                        _ => of,
                    };
                    select.items.push(item);
                }
                select.distinct = self.chance(25);
            }
        }
        select
    }

    /// Changes something; the name of the change.
    fn rewrite(&mut self, select: &mut Select) -> Option<&'static str> {
        match self.rng.below(20) {
            0 if select.filter.len() > 1 => {
                select.filter.reverse();
                Some("conjuncts reversed")
            }
            1 => {
                let join = select.joins.first_mut()?;
                join.kind = match join.kind {
                    "left join" => "join",
                    "join" => "left join",
                    _ => return None,
                };
                Some("join kind")
            }
            2 if select.joins.len() == 2 => {
                select.joins.reverse();
                Some("joins swapped")
            }
            3 => {
                let predicate = select.filter.pop()?;
                let join = select.joins.iter_mut().rev().find(|join| join.kind != "cross join")?;
                if predicate.sql().contains("v.") && join.table != "v"
                    || predicate.sql().contains("u.") && join.table != "u"
                {
                    select.filter.push(predicate);
                    return None;
                }
                join.on.push(predicate);
                Some("where into on")
            }
            4 => {
                let join = select.joins.iter_mut().find(|join| join.on.len() > 1)?;
                let predicate = join.on.pop()?;
                select.filter.push(predicate);
                Some("on into where")
            }
            5 => {
                select.distinct = !select.distinct;
                if !select.group.is_empty() || select.qualify.is_some() {
                    return Some("distinct toggled");
                }
                Some("distinct toggled")
            }
            6 if select.distinct && select.group.is_empty() && select.qualify.is_none() => {
                select.distinct = false;
                select.group = select.items.clone();
                Some("distinct into group by")
            }
            7 => {
                let column = self.pick(&["t.a", "t.b", "t.id"]).to_owned();
                select.filter.push(Predicate::Null(column, false));
                Some("is not null added")
            }
            8 => {
                let at = select.items.iter().position(|item| item == "count(*)")?;
                select.items[at] = self.pick(&["count(t.id)", "count(t.a)", "count(1)"]).to_owned();
                Some("count(*) into count(column)")
            }
            9 => {
                let predicate = select.having.pop()?;
                select.having.insert(0, Predicate::Not(Box::new(Predicate::Not(Box::new(predicate)))));
                Some("double negation in having")
            }
            10 => {
                let at = select.items.iter().position(|item| item.starts_with("coalesce(sum("))?;
                let inner =
                    select.items[at].trim_start_matches("coalesce(sum(").split(')').next()?.to_owned();
                select.items[at] = format!("sum(coalesce({inner}, 0))");
                Some("coalesce into sum")
            }
            11 => {
                for join in &mut select.joins {
                    if join.kind == "cross join" {
                        join.kind = "join";
                        join.on = vec![Predicate::Raw("true".to_owned())];
                        return Some("cross join into join on true");
                    }
                }
                None
            }
            12 => {
                let qualify = select.qualify.as_mut()?;
                *qualify = qualify.replace("dense_rank()", "rank()").replace("row_number()", "rank()");
                Some("window function")
            }
            _ => {
                let n = select.filter.len();
                if n == 0 {
                    return None;
                }
                let at = self.rng.below(n);
                let (predicate, name) = self.vary(select.filter[at].clone())?;
                select.filter[at] = predicate;
                Some(name)
            }
        }
    }

    /// Another form of a predicate, with the same meaning or not.
    fn vary(&mut self, predicate: Predicate) -> Option<(Predicate, &'static str)> {
        let compare = |a: &str, op: &'static str, b: &str| Predicate::Compare(a.to_owned(), op, b.to_owned());
        Some(match predicate {
            Predicate::Compare(a, op, b) => match self.rng.below(5) {
                0 => {
                    let flipped = match op {
                        "<" => ">",
                        "<=" => ">=",
                        ">" => "<",
                        ">=" => "<=",
                        other => other,
                    };
                    (compare(&b, flipped, &a), "comparison flipped")
                }
                1 => {
                    let negated = match op {
                        "<" => ">=",
                        "<=" => ">",
                        ">" => "<=",
                        ">=" => "<",
                        "=" => "<>",
                        _ => "=",
                    };
                    (Predicate::Not(Box::new(compare(&a, negated, &b))), "negated twice")
                }
                2 => {
                    let other = match op {
                        "<" => "<=",
                        "<=" => "<",
                        ">" => ">=",
                        ">=" => ">",
                        other => other,
                    };
                    (compare(&a, other, &b), "boundary")
                }
                3 => (
                    Predicate::Or(Box::new(compare(&a, op, &b)), Box::new(Predicate::Null(a.clone(), true))),
                    "or is null",
                ),
                _ => (Predicate::Raw(format!("coalesce({a} {op} {b}, false)")), "coalesced to false"),
            },
            Predicate::In(a, list) => {
                let mut any = compare(&a, "=", &list[0]);
                for value in &list[1..] {
                    any = Predicate::Or(Box::new(any), Box::new(compare(&a, "=", value)));
                }
                (any, "in into or")
            }
            Predicate::Between(a, low, high) => {
                let upper = if self.chance(70) { "<=" } else { "<" };
                (Predicate::Raw(format!("({a} >= {low} and {a} {upper} {high})")), "between into bounds")
            }
            Predicate::Null(a, yes) => {
                (Predicate::Not(Box::new(Predicate::Null(a, !yes))), "null test negated")
            }
            Predicate::Not(inner) => match *inner {
                Predicate::Or(a, b) => {
                    (Predicate::Raw(format!("(not ({}) and not ({}))", a.sql(), b.sql())), "de morgan")
                }
                other => (Predicate::Raw(format!("({}) is not true", other.sql())), "not into is not true"),
            },
            Predicate::Or(a, b) => (Predicate::Or(b, a), "or swapped"),
            Predicate::Raw(text) => {
                let varied = text
                    .replace(
                        "t.id in (select t_id from v as v2)",
                        "exists (select 1 from v as v2 where v2.t_id = t.id)",
                    )
                    .replace(
                        "t.a not in (select k from v as v2)",
                        "not exists (select 1 from v as v2 where v2.k = t.a)",
                    )
                    .replace("coalesce(t.a, 0) > 1", "t.a > 1");
                if varied == text {
                    return None;
                }
                (Predicate::Raw(varied), "subquery form")
            }
        })
    }

    /// Puts either query into a CTE, a derived table or a set operation.
    fn wrap(
        &mut self,
        golden: &Select,
        candidate: &Select,
        names: &mut Vec<&'static str>,
    ) -> (String, String) {
        let (a, b) = (golden.sql(), candidate.sql());
        match self.rng.below(8) {
            0 => {
                names.push("cte");
                (a, format!("with q as ({b}) select * from q"))
            }
            1 => {
                names.push("derived table");
                (a, format!("select * from (select * from ({b}) as inner_q) as q"))
            }
            2 => {
                names.push("filter outside");
                let filter = self.pick(&["c0 is not null", "c0 is null"]);
                (
                    format!("select * from ({a}) as q where {filter}"),
                    format!("with q as ({b}), r as (select * from q where {filter}) select * from r"),
                )
            }
            3 => {
                let first = self.pick(&["union all", "union", "except", "intersect"]);
                let second = if self.chance(70) { first } else { self.pick(&["union all", "union"]) };
                names.push("set operation");
                let other = "select id as c0 from t";
                if golden.items.len() == 1 && !golden.items[0].starts_with("t.s") {
                    let cast = |sql: &str| format!("select c0::varchar as c0 from ({sql}) as q");
                    let other = format!("select c0::varchar as c0 from ({other}) as o");
                    (
                        format!("{} {first} {other}", cast(&a)),
                        if self.chance(50) {
                            format!("{} {second} {other}", cast(&b))
                        } else {
                            format!("{other} {second} {}", cast(&b))
                        },
                    )
                } else {
                    (a, b)
                }
            }
            _ => (a, b),
        }
    }
}
