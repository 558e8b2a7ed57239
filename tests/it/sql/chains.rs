//! Chains of outer joins along foreign keys, full joins, derived tables with joins of their own, and subqueries over all of
//! them: a random query, and the same one after random edits. Most edits keep the meaning in some places only.

use assay::stats::rng::SplitMix64;

use super::families::around;
use super::pairs::Pair;

const TABLES: [(&str, &[&str]); 4] = [
    ("t", &["id", "a", "b"]),
    ("u", &["id", "t_id", "x"]),
    ("w", &["id", "u_id", "y"]),
    ("v", &["k", "t_id"]),
];

#[derive(Clone)]
pub(super) struct Select {
    /// Expressions and their names.
    pub(super) items: Vec<(String, String)>,
    pub(super) distinct: bool,
    /// By the first item.
    pub(super) grouped: bool,
    pub(super) from: Rows,
    pub(super) filter: Vec<Condition>,
}

#[derive(Clone)]
pub(super) enum Rows {
    Table(&'static str, String),
    Derived(Box<Select>, String),
    Join(Box<Join>),
}

#[derive(Clone)]
pub(super) struct Join {
    pub(super) kind: &'static str,
    pub(super) left: Rows,
    pub(super) right: Rows,
    pub(super) on: Vec<Condition>,
}

#[derive(Clone)]
pub(super) enum Condition {
    Plain(String),
    Equal(String, String),
    Null(String, bool),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    /// A subquery of one column; whether NOT IN.
    In(String, Box<Select>, bool),
    /// Whether NOT EXISTS.
    Exists(Box<Select>, bool),
}

impl Select {
    pub(super) fn sql(&self) -> String {
        let items: Vec<String> = self.items.iter().map(|(item, name)| format!("{item} as {name}")).collect();
        let distinct = if self.distinct { "distinct " } else { "" };
        let mut out = format!("select {distinct}{} from {}", items.join(", "), self.from.sql());
        if !self.filter.is_empty() {
            out.push_str(&format!(" where {}", all(&self.filter)));
        }
        if self.grouped {
            out.push_str(" group by 1");
        }
        out
    }

    /// With other text in place of what names a table or a column.
    fn replaced(&self, from: &str, to: &str) -> Self {
        let mut copy = self.clone();
        copy.items.iter_mut().for_each(|(item, _)| *item = item.replace(from, to));
        copy.from.replace(from, to);
        copy.filter.iter_mut().for_each(|condition| *condition = condition.replaced(from, to));
        copy
    }

    fn plain(from: Rows, items: Vec<(String, String)>) -> Self {
        Self { items, distinct: false, grouped: false, from, filter: Vec::new() }
    }

    /// A table's columns under their own names.
    fn whole(table: &'static str, alias: &str) -> Self {
        let rows = Rows::Table(table, alias.to_owned());
        let items = rows.columns().into_iter().map(|column| (column.clone(), bare(&column))).collect();
        Self::plain(rows, items)
    }

    /// Calls `edit` with the `number`th query in here, itself and its subqueries included.
    fn nth(&mut self, number: &mut usize, edit: &mut dyn FnMut(&mut Self)) {
        if *number == 0 {
            edit(self);
        }
        *number = number.wrapping_sub(1);
        self.from.nth(number, edit);
        self.filter.iter_mut().for_each(|condition| condition.nth(number, edit));
    }

    fn count(&mut self) -> usize {
        let mut left = usize::MAX;
        self.nth(&mut left, &mut |_| {});
        usize::MAX - left
    }
}

/// The name of a column without its table.
fn bare(column: &str) -> String {
    column.rsplit('.').next().unwrap_or(column).to_owned()
}

fn all(conditions: &[Condition]) -> String {
    if conditions.is_empty() {
        return "true".to_owned();
    }
    conditions.iter().map(Condition::sql).collect::<Vec<_>>().join(" and ")
}

impl Rows {
    fn sql(&self) -> String {
        match self {
            Self::Table(table, alias) => format!("{table} as {alias}"),
            Self::Derived(query, alias) => format!("({}) as {alias}", query.sql()),
            Self::Join(join) => {
                let right = match &join.right {
                    Self::Join(_) => format!("({})", join.right.sql()),
                    right => right.sql(),
                };
                format!("{} {} join {right} on {}", join.left.sql(), join.kind, all(&join.on))
            }
        }
    }

    pub(super) fn columns(&self) -> Vec<String> {
        match self {
            Self::Table(table, alias) => {
                let columns = TABLES.iter().find(|(name, _)| name == table).map_or(&[][..], |(_, list)| list);
                columns.iter().map(|column| format!("{alias}.{column}")).collect()
            }
            Self::Derived(query, alias) => {
                query.items.iter().map(|(_, name)| format!("{alias}.{name}")).collect()
            }
            Self::Join(join) => {
                let mut columns = join.left.columns();
                columns.extend(join.right.columns());
                columns
            }
        }
    }

    fn replace(&mut self, from: &str, to: &str) {
        match self {
            Self::Table(..) => {}
            Self::Derived(query, _) => **query = query.replaced(from, to),
            Self::Join(join) => {
                join.left.replace(from, to);
                join.right.replace(from, to);
                join.on.iter_mut().for_each(|condition| *condition = condition.replaced(from, to));
            }
        }
    }

    fn nth(&mut self, number: &mut usize, edit: &mut dyn FnMut(&mut Select)) {
        match self {
            Self::Table(..) => {}
            Self::Derived(query, _) => query.nth(number, edit),
            Self::Join(join) => {
                join.left.nth(number, edit);
                join.right.nth(number, edit);
                join.on.iter_mut().for_each(|condition| condition.nth(number, edit));
            }
        }
    }

    /// The joins in here, this one first, those of derived tables aside.
    pub(super) fn joins(&mut self) -> Vec<Vec<bool>> {
        fn walk(rows: &Rows, path: &mut Vec<bool>, found: &mut Vec<Vec<bool>>) {
            if let Rows::Join(join) = rows {
                found.push(path.clone());
                for (right, side) in [(false, &join.left), (true, &join.right)] {
                    path.push(right);
                    walk(side, path, found);
                    path.pop();
                }
            }
        }
        let mut found = Vec::new();
        walk(self, &mut Vec::new(), &mut found);
        found
    }

    /// What stands at the end of a path of left and right.
    pub(super) fn at(&mut self, path: &[bool]) -> &mut Self {
        match (path, self) {
            ([right, rest @ ..], Self::Join(join)) => {
                if *right {
                    join.right.at(rest)
                } else {
                    join.left.at(rest)
                }
            }
            (_, rows) => rows,
        }
    }
}

impl Condition {
    pub(super) fn sql(&self) -> String {
        let not = |negated: bool| if negated { "not " } else { "" };
        match self {
            Self::Plain(text) => text.clone(),
            Self::Equal(a, b) => format!("{a} = {b}"),
            Self::Null(column, yes) => format!("{column} is {}null", not(!yes)),
            Self::Or(a, b) => format!("({} or {})", a.sql(), b.sql()),
            Self::Not(inner) => format!("not ({})", inner.sql()),
            Self::In(column, query, negated) => format!("{column} {}in ({})", not(*negated), query.sql()),
            Self::Exists(query, negated) => format!("{}exists ({})", not(*negated), query.sql()),
        }
    }

    pub(super) fn replaced(&self, from: &str, to: &str) -> Self {
        match self {
            Self::Plain(text) => Self::Plain(text.replace(from, to)),
            Self::Equal(a, b) => Self::Equal(a.replace(from, to), b.replace(from, to)),
            Self::Null(column, yes) => Self::Null(column.replace(from, to), *yes),
            Self::Or(a, b) => Self::Or(Box::new(a.replaced(from, to)), Box::new(b.replaced(from, to))),
            Self::Not(inner) => Self::Not(Box::new(inner.replaced(from, to))),
            Self::In(column, query, negated) => {
                Self::In(column.replace(from, to), Box::new(query.replaced(from, to)), *negated)
            }
            Self::Exists(query, negated) => Self::Exists(Box::new(query.replaced(from, to)), *negated),
        }
    }

    /// Whether it names a column of one of the tables.
    pub(super) fn reads(&self, columns: &[String]) -> bool {
        reads(&self.sql(), columns)
    }

    fn nth(&mut self, number: &mut usize, edit: &mut dyn FnMut(&mut Select)) {
        match self {
            Self::Or(a, b) => {
                a.nth(number, edit);
                b.nth(number, edit);
            }
            Self::Not(inner) => inner.nth(number, edit),
            Self::In(_, query, _) | Self::Exists(query, _) => query.nth(number, edit),
            Self::Plain(_) | Self::Equal(..) | Self::Null(..) => {}
        }
    }
}

pub(super) fn reads(text: &str, columns: &[String]) -> bool {
    columns.iter().any(|column| text.contains(column.as_str()))
}

/// A pair over chains of joins; the schema is the caller's.
pub(super) fn random(rng: &mut SplitMix64, schema: String) -> Pair {
    let mut chains = Chains { rng, aliases: 0 };
    let depth = chains.below(3);
    let mut golden = chains.select(depth, &[], None);
    let mut candidate = golden.clone();
    let mut names = Vec::new();
    for _ in 0..1 + chains.below(4) {
        names.extend(chains.edit(&mut candidate));
    }
    for _ in 0..chains.below(3) {
        names.extend(chains.edit(&mut golden));
    }
    let (golden, candidate) = around(rng, &golden.sql(), &candidate.sql());
    Pair { schema, golden, candidate, rewrite: names.join(", ") }
}

pub(super) struct Chains<'a> {
    rng: &'a mut SplitMix64,
    aliases: usize,
}

impl Chains<'_> {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound)
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.rng.below(100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.rng.below(from.len())].clone()
    }

    pub(super) fn alias(&mut self, of: &str) -> String {
        self.aliases += 1;
        format!("{of}{}", self.aliases)
    }

    pub(super) fn table(&mut self, name: &'static str) -> Rows {
        Rows::Table(name, self.alias(name))
    }

    fn any_table(&mut self) -> Rows {
        let name = self.pick(&["t", "t", "u", "u", "w", "v"]);
        self.table(name)
    }

    /// A column that a key may be made of.
    fn key(&mut self, columns: &[String]) -> String {
        let keys: Vec<String> = columns.iter().filter(|column| column.ends_with("id")).cloned().collect();
        self.pick(if keys.is_empty() { columns } else { &keys })
    }

    fn condition(&mut self, columns: &[String], outside: &[String], depth: usize) -> Condition {
        let far = !outside.is_empty() && self.chance(25);
        let column = self.pick(if far { outside } else { columns });
        let literal = self.pick(&["0", "1", "2"]);
        match self.below(if depth == 0 { 8 } else { 12 }) {
            0..=2 => {
                Condition::Plain(format!("{column} {} {literal}", self.pick(&["=", "=", "<>", "<", ">="])))
            }
            3 => {
                let other = self.pick(columns);
                Condition::Plain(format!("{column} {} {other}", self.pick(&["=", "<>", "is distinct from"])))
            }
            4 => Condition::Plain(format!("coalesce({column}, {literal}) = {}", self.pick(&["0", "1"]))),
            5..=7 => Condition::Null(column, self.chance(50)),
            8 => Condition::Or(
                Box::new(self.condition(columns, outside, 0)),
                Box::new(self.condition(columns, outside, depth - 1)),
            ),
            at => {
                let mut reach = columns.to_vec();
                reach.extend_from_slice(outside);
                let mut query = self.select(depth - 1, &reach, Some(1));
                if at > 9 || self.chance(40) {
                    let own = query.from.columns();
                    query.filter.push(Condition::Equal(self.key(&own), self.pick(&reach)));
                }
                if at < 11 {
                    Condition::In(column, Box::new(query), self.chance(60))
                } else {
                    Condition::Exists(Box::new(query), self.chance(50))
                }
            }
        }
    }

    fn source(&mut self, depth: usize) -> Rows {
        match self.below(8) {
            0 if depth > 0 => {
                let items = 1 + self.below(3);
                Rows::Derived(Box::new(self.select(depth - 1, &[], Some(items))), self.alias("d"))
            }
            1 => {
                let Rows::Table(name, alias) = self.any_table() else { unreachable!("a table") };
                let mut query = Select::whole(name, &alias);
                let columns = query.from.columns();
                query.filter.push(self.condition(&columns, &[], 0));
                Rows::Derived(Box::new(query), self.alias("d"))
            }
            _ => self.any_table(),
        }
    }

    /// The next table of a chain, and the condition that ties it to what is there.
    fn next(&mut self, columns: &[String], depth: usize) -> (Rows, Condition) {
        let column = self.key(columns);
        let (table, other) = match bare(&column).as_str() {
            "t_id" => (Some("t"), "id"),
            "u_id" => (Some("u"), "id"),
            "id" => match column.as_bytes()[0] {
                b't' => (Some(self.pick(&["u", "v"])), "t_id"),
                b'u' => (Some("w"), "u_id"),
                _ => (None, ""),
            },
            _ => (None, ""),
        };
        match table.filter(|_| self.rng.below(5) > 0) {
            Some(name) => {
                let alias = self.alias(name);
                let tie = Condition::Equal(column, format!("{alias}.{other}"));
                if self.chance(12) {
                    let mut query = Select::whole(name, &self.alias("i"));
                    let inner = query.from.columns();
                    query.filter.push(self.condition(&inner, &[], 0));
                    return (Rows::Derived(Box::new(query), alias), tie);
                }
                (Rows::Table(name, alias), tie)
            }
            None => {
                let rows = self.source(depth);
                let theirs = rows.columns();
                let tie = Condition::Equal(column, self.key(&theirs));
                (rows, tie)
            }
        }
    }

    fn rows(&mut self, depth: usize) -> Rows {
        let mut rows = self.source(depth);
        for _ in 0..self.pick(&[0, 1, 1, 2, 2, 3]) {
            let columns = rows.columns();
            let (mut right, tie) = self.next(&columns, depth);
            if self.chance(20) {
                let inner = right.columns();
                let (further, tie) = self.next(&inner, 0);
                let kind = self.pick(&["left", "inner", "full"]);
                right = Rows::Join(Box::new(Join { kind, left: right, right: further, on: vec![tie] }));
            }
            let mut on = vec![tie];
            if self.chance(30) {
                let mut columns = right.columns();
                if self.chance(50) {
                    columns.extend(rows.columns());
                }
                let nested = usize::from(self.chance(20));
                on.push(self.condition(&columns, &[], nested));
            }
            let kind = self.pick(&["left", "left", "left", "inner", "inner", "right", "full"]);
            rows = Rows::Join(Box::new(Join { kind, left: rows, right, on }));
        }
        rows
    }

    fn select(&mut self, depth: usize, outside: &[String], items: Option<usize>) -> Select {
        let from = self.rows(depth);
        let columns = from.columns();
        let mut select = Select::plain(from, Vec::new());
        for _ in 0..self.pick(&[0, 0, 1, 1, 2]) {
            select.filter.push(self.condition(&columns, outside, depth));
        }
        let subquery = !outside.is_empty();
        select.grouped = !subquery && items != Some(1) && self.chance(15);
        select.distinct = !subquery && !select.grouped && self.chance(12);
        let wanted = items.unwrap_or_else(|| 1 + self.rng.below(3)).max(1 + usize::from(select.grouped));
        for at in 0..wanted {
            let column = self.pick(&columns);
            let item = match self.below(10) {
                _ if select.grouped && at > 0 => match self.pick(&["count(*)", "count", "min", "sum"]) {
                    "count(*)" => "count(*)".to_owned(),
                    function => format!("{function}({column})"),
                },
                0 if !subquery => format!("coalesce({column}, {})", self.below(2)),
                1 if !subquery && !select.grouped => {
                    format!("case when {} then {column} end", self.condition(&columns, &[], 0).sql())
                }
                2 if !subquery && !select.grouped && depth > 0 => {
                    let mut query = self.select(0, &columns, Some(1));
                    let own = query.from.columns();
                    query.filter.push(Condition::Equal(self.key(&own), column));
                    let counted = query.items[0].0.clone();
                    let function = self.pick(&["count", "max", "sum"]);
                    query.items[0].0 = format!("{function}({counted})");
                    format!("({})", query.sql())
                }
                _ => column,
            };
            select.items.push((item, format!("c{at}")));
        }
        select
    }

    /// One edit of one of the queries in there; its name.
    fn edit(&mut self, select: &mut Select) -> Option<&'static str> {
        for _ in 0..12 {
            let mut number = self.rng.below(select.count());
            let mut name = None;
            select.nth(&mut number, &mut |query| name = self.change(query));
            if name.is_some() {
                return name;
            }
        }
        None
    }
}
