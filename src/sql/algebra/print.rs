//! The algebra as SQL that DuckDB executes: what a normal form means can be run, and so held against the query that it
//! came from.
//!
//! Columns are called by their number, so no name can be captured; each source is a derived table that lists its columns.
//! What another dialect means by a function, an operator or a cast, and how DuckDB spells that, stands in the module
//! `foreign`.

use super::foreign;
use super::{
    AggCall, Arena, Block, Branch, CmpOp, Col, ColSet, Const, ExprId, Frame, FrameBound, Node, OrderKey,
    Outer, Query, Source, WindowCall,
};
use crate::sql::types::Type;
use crate::sql::{Dialect, functions};

/// Nesting that is printed; what is deeper is given up.
const DEPTH: usize = 120;

/// SQL, or what has no spelling in DuckDB.
pub(super) type Printed = Result<String, String>;

/// The query as one SELECT of DuckDB's, whatever dialect it came from.
///
/// # Errors
/// What it holds that has no spelling in DuckDB, or none that is known to mean the same.
pub fn to_sql(arena: &Arena, query: &Query) -> Result<String, String> {
    let foreign = !matches!(arena.dialect, Dialect::DuckDb | Dialect::Generic);
    let mut printer = Printer { arena, foreign, aliases: 0, depth: 0 };
    let outputs = query
        .outputs
        .iter()
        .map(|(name, expr)| Ok(format!("{} AS {}", printer.expr(*expr)?, quoted(arena.text(*name)))))
        .collect::<Result<Vec<_>, String>>()?;
    let rows = printer.rows(&query.block)?;
    Ok(format!("SELECT {} {rows}", outputs.join(", ")))
}

struct Printer<'a> {
    arena: &'a Arena,
    /// Of another dialect: calls mean what they mean there.
    foreign: bool,
    aliases: usize,
    depth: usize,
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn name(col: Col) -> String {
    format!("k{}", col.0)
}

impl Printer<'_> {
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("s{}", self.aliases)
    }

    /// Columns of a block, by name; a constant where there are none.
    fn columns(&self, block: &Block) -> Vec<String> {
        let mut visible = ColSet::default();
        self.arena.visible(block, &mut visible);
        visible.iter().map(name).collect()
    }

    fn select(items: &[String]) -> String {
        if items.is_empty() { "1 AS k".to_owned() } else { items.join(", ") }
    }

    /// `FROM ... WHERE ...`.
    fn rows(&mut self, block: &Block) -> Printed {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(too_deep());
        }
        let mut from = Vec::with_capacity(block.sources.len());
        for source in &block.sources {
            from.push(self.source(source)?);
        }
        let mut from = if from.is_empty() { "(SELECT 1 AS k)".to_owned() } else { from.join(" CROSS JOIN ") };
        for outer in &block.outers {
            from.push_str(&self.outer(outer)?);
        }
        let mut conditions =
            block.filters.iter().map(|e| self.expr(*e)).collect::<Result<Vec<_>, String>>()?;
        for class in &block.equal {
            if let [first, rest @ ..] = class.as_slice() {
                conditions.extend(rest.iter().map(|other| format!("{} = {}", name(*first), name(*other))));
            }
        }
        if block.empty {
            conditions.push("FALSE".to_owned());
        }
        self.depth -= 1;
        let filter = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        Ok(format!("FROM {from}{filter}"))
    }

    fn outer(&mut self, outer: &Outer) -> Printed {
        let mut items = self.columns(&outer.right);
        items.push(format!("TRUE AS {}", name(outer.marker)));
        let rows = self.rows(&outer.right)?;
        let on = self.all(&outer.on)?;
        let alias = self.alias();
        Ok(format!(" LEFT JOIN (SELECT {} {rows}) AS {alias} ON {on}", items.join(", ")))
    }

    fn all(&mut self, conditions: &[ExprId]) -> Printed {
        let conditions = conditions.iter().map(|e| self.expr(*e)).collect::<Result<Vec<_>, String>>()?;
        Ok(if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") })
    }

    /// A branch of a set operation, its columns under the names given.
    fn branch(&mut self, branch: &Branch, cols: &[Col]) -> Printed {
        let items = branch
            .outputs
            .iter()
            .zip(cols)
            .map(|(e, col)| Ok(format!("{} AS {}", self.expr(*e)?, name(*col))))
            .collect::<Result<Vec<_>, String>>()?;
        Ok(format!("SELECT {} {}", Self::select(&items), self.rows(&branch.block)?))
    }

    fn source(&mut self, source: &Source) -> Printed {
        let body = match source {
            Source::Scan(scan) => {
                let table = self.arena.table_of(*scan);
                if table.made {
                    return Err("a clause that no table stands for".to_owned());
                }
                let items: Vec<String> = self
                    .arena
                    .scan(*scan)
                    .cols
                    .iter()
                    .map(|(position, col)| {
                        let column = usize::try_from(*position).ok().and_then(|at| table.columns.get(at));
                        let (column, _) = column.ok_or("a table without known columns")?;
                        Ok(format!("{} AS {}", quoted(self.arena.text(*column)), name(*col)))
                    })
                    .collect::<Result<Vec<_>, String>>()?;
                let path: Vec<String> = self.arena.text(table.name).split('.').map(quoted).collect();
                format!("SELECT {} FROM {}", Self::select(&items), path.join("."))
            }
            Source::Values(values) => {
                let mut rows = Vec::with_capacity(values.rows.len());
                for row in &values.rows {
                    let items = row
                        .iter()
                        .zip(&values.cols)
                        .map(|(e, col)| Ok(format!("{} AS {}", self.expr(*e)?, name(*col))))
                        .collect::<Result<Vec<_>, String>>()?;
                    rows.push(format!("SELECT {}", Self::select(&items)));
                }
                if rows.is_empty() {
                    return Err("VALUES without rows".to_owned());
                }
                rows.join(" UNION ALL ")
            }
            Source::Aggregate(aggregate) => {
                let keys = aggregate
                    .keys
                    .iter()
                    .map(|(col, e)| Ok(format!("{} AS {}", self.expr(*e)?, name(*col))))
                    .collect::<Result<Vec<_>, String>>()?;
                let aggs = aggregate
                    .aggs
                    .iter()
                    .map(|(col, e)| Ok(format!("{} AS {}", self.expr(*e)?, name(*col))))
                    .collect::<Result<Vec<_>, String>>()?;
                // Keys get names first: a number in GROUP BY would mean a position.
                let mut inner = self.columns(&aggregate.input);
                inner.extend(keys);
                let rows = self.rows(&aggregate.input)?;
                let names: Vec<String> = aggregate.keys.iter().map(|(col, _)| name(*col)).collect();
                let mut items = names.clone();
                items.extend(aggs);
                if items.is_empty() {
                    items.push("count(*) AS k".to_owned());
                }
                let grouping = match (names.is_empty(), aggregate.scalar) {
                    (false, _) => format!(" GROUP BY {}", names.join(", ")),
                    (true, true) => String::new(),
                    (true, false) => " HAVING count(*) > 0".to_owned(),
                };
                let alias = self.alias();
                format!(
                    "SELECT {} FROM (SELECT {} {rows}) AS {alias}{grouping}",
                    items.join(", "),
                    Self::select(&inner)
                )
            }
            Source::Window(window) => {
                let mut items = self.columns(&window.input);
                for (col, e) in &window.funcs {
                    items.push(format!("{} AS {}", self.expr(*e)?, name(*col)));
                }
                format!("SELECT {} {}", Self::select(&items), self.rows(&window.input)?)
            }
            Source::Union(union) => {
                // One branch is left where the others, which are empty, decide the types.
                if union.branches.len() == 1 {
                    return Err("a union of one branch".to_owned());
                }
                let branches = union
                    .branches
                    .iter()
                    .map(|branch| self.branch(branch, &union.cols))
                    .collect::<Result<Vec<_>, String>>()?;
                branches
                    .into_iter()
                    .map(|branch| format!("({branch})"))
                    .collect::<Vec<_>>()
                    .join(" UNION ALL ")
            }
            Source::SetOp(op) => {
                let word = if op.except { "EXCEPT ALL" } else { "INTERSECT ALL" };
                format!(
                    "({}) {word} ({})",
                    self.branch(&op.left, &op.cols)?,
                    self.branch(&op.right, &op.cols)?
                )
            }
            Source::Full(full) => {
                let mut sides = Vec::with_capacity(2);
                for (block, marker) in [(&full.left, full.left_marker), (&full.right, full.right_marker)] {
                    let mut items = self.columns(block);
                    items.push(format!("TRUE AS {}", name(marker)));
                    let rows = self.rows(block)?;
                    let alias = self.alias();
                    sides.push(format!("(SELECT {} {rows}) AS {alias}", items.join(", ")));
                }
                let on = self.all(&full.on)?;
                format!("SELECT * FROM {} ON {on}", sides.join(" FULL JOIN "))
            }
            Source::Limit(limit) => {
                if limit.extra.is_some() {
                    return Err("a clause of LIMIT".to_owned());
                }
                let items = self.columns(&limit.input);
                let mut body = format!("SELECT {} {}", Self::select(&items), self.rows(&limit.input)?);
                body.push_str(&self.order(&limit.order)?);
                for (word, value) in [("LIMIT", limit.limit), ("OFFSET", limit.offset)] {
                    if let Some(value) = value {
                        body.push_str(&format!(" {word} {}", self.expr(value)?));
                    }
                }
                body
            }
            Source::Opaque(_) => return Err("a clause that is compared as text".to_owned()),
        };
        let alias = self.alias();
        Ok(format!("({body}) AS {alias}"))
    }

    /// ` ORDER BY ...`, or nothing.
    fn order(&mut self, keys: &[OrderKey]) -> Printed {
        let keys = keys
            .iter()
            .map(|key| {
                let (way, nulls) =
                    (if key.desc { "DESC" } else { "ASC" }, if key.nulls_first { "FIRST" } else { "LAST" });
                Ok(format!("{} {way} NULLS {nulls}", self.expr(key.expr)?))
            })
            .collect::<Result<Vec<_>, String>>()?;
        Ok(if keys.is_empty() { String::new() } else { format!(" ORDER BY {}", keys.join(", ")) })
    }

    fn list(&mut self, exprs: &[ExprId]) -> Result<Vec<String>, String> {
        exprs.iter().map(|e| self.expr(*e)).collect()
    }

    /// The rows of a subquery with its outputs, or with a constant.
    fn subquery(&mut self, sub: super::SubId, outputs: bool) -> Printed {
        let sub = self.arena.sub(sub);
        let items = if outputs { self.list(&sub.outputs)? } else { Vec::new() };
        Ok(format!("SELECT {} {}", Self::select(&items), self.rows(&sub.block)?))
    }

    fn expr(&mut self, expr: ExprId) -> Printed {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(too_deep());
        }
        let arena = self.arena;
        let printed = match arena.node(expr) {
            Node::Col(col) => name(*col),
            Node::Const(constant) => self.constant(*constant)?,
            Node::And(parts) => format!("({})", self.list(parts)?.join(" AND ")),
            Node::Or(parts) => format!("({})", self.list(parts)?.join(" OR ")),
            Node::Not(inner) => format!("(NOT {})", self.expr(*inner)?),
            Node::Cmp(op, a, b) => {
                self.comparable(*a, *b)?;
                let op = match op {
                    CmpOp::Eq => "=",
                    CmpOp::Ne => "<>",
                    CmpOp::Lt => "<",
                    CmpOp::Le => "<=",
                };
                format!("({} {op} {})", self.expr(*a)?, self.expr(*b)?)
            }
            Node::Same(a, b) => {
                self.comparable(*a, *b)?;
                format!("({} IS NOT DISTINCT FROM {})", self.expr(*a)?, self.expr(*b)?)
            }
            Node::IsNull(inner) => format!("({} IS NULL)", self.expr(*inner)?),
            Node::IsTrue(inner) => format!("({} IS TRUE)", self.expr(*inner)?),
            Node::Case(arms, otherwise) => {
                let mut out = String::from("CASE");
                for (condition, result) in arms {
                    out.push_str(&format!(" WHEN {} THEN {}", self.expr(*condition)?, self.expr(*result)?));
                }
                format!("({out} ELSE {} END)", self.expr(*otherwise)?)
            }
            Node::Coalesce(parts) => format!("coalesce({})", self.list(parts)?.join(", ")),
            Node::Cast(inner, data_type, written, attempt) => {
                if self.foreign && !foreign::casts(arena, *inner, *data_type) {
                    return Err(format!("the cast to {}", arena.text(*written)));
                }
                let word = if *attempt { "TRY_CAST" } else { "CAST" };
                format!("{word}({} AS {})", self.expr(*inner)?, type_name(*data_type, arena.text(*written)))
            }
            Node::Call(func, args) => {
                let printed = self.list(args)?;
                let func = arena.text(*func);
                let printed = match self.foreign {
                    true => foreign::call(arena, func, args, &printed),
                    false => call(func, &printed),
                };
                printed.ok_or_else(|| named(func))?
            }
            Node::Guard(marker, inner) => {
                format!("(CASE WHEN {} THEN {} END)", name(*marker), self.expr(*inner)?)
            }
            Node::Exists(sub) => format!("EXISTS ({})", self.subquery(*sub, false)?),
            Node::In(left, sub) => {
                for (a, b) in left.iter().zip(&arena.sub(*sub).outputs) {
                    self.comparable(*a, *b)?;
                }
                let left = self.list(left)?.join(", ");
                format!("(({left}) IN ({}))", self.subquery(*sub, true)?)
            }
            Node::Scalar(sub) => format!("({})", self.subquery(*sub, true)?),
            Node::Agg(call) => {
                let printed = self.aggregate(call, false)?;
                self.rounded(call, printed)
            }
            Node::Window(window) => {
                let printed = self.window(window)?;
                self.rounded(&window.call, printed)
            }
        };
        self.depth -= 1;
        Ok(printed)
    }

    /// Two values that a comparison of another dialect compares as DuckDB does.
    fn comparable(&self, a: ExprId, b: ExprId) -> Result<(), String> {
        if self.foreign && !foreign::comparable(self.arena, a, b) {
            return Err("a comparison of values of different types".to_owned());
        }
        Ok(())
    }

    fn constant(&self, constant: Const) -> Printed {
        Ok(match constant {
            Const::Null => "NULL".to_owned(),
            Const::Bool(value) => value.to_string().to_uppercase(),
            Const::Int(value) if value < 0 => format!("({value})"),
            Const::Int(value) => value.to_string(),
            Const::Decimal(digits, scale) => {
                let scale = usize::from(scale);
                let all = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
                let (whole, fraction) = all.split_at(all.len() - scale);
                let number = format!("({}{whole}.{fraction})", if digits < 0 { "-" } else { "" });
                match self.arena.dialect {
                    Dialect::BigQuery if self.foreign => format!("CAST({number} AS DOUBLE)"),
                    _ => number,
                }
            }
            Const::Text(value) => text(self.arena.text(value)),
            Const::Typed(Type::Interval, value) => format!("INTERVAL {}", text(self.arena.text(value))),
            Const::Typed(data_type, value) => {
                format!("CAST({} AS {})", text(self.arena.text(value)), type_name(data_type, "varchar"))
            }
            Const::Raw(value) if self.foreign => {
                return Err(format!("the literal {}", self.arena.text(value)));
            }
            Const::Raw(value) => self.arena.text(value).to_owned(),
        })
    }

    fn aggregate(&mut self, call: &AggCall, ignore_nulls: bool) -> Printed {
        let mut args = self.list(&call.args)?.join(", ");
        let func = self.arena.text(call.func);
        if func == "count" && args.is_empty() {
            args.push('*');
        }
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let order = self.order(&call.order)?;
        let nulls = if ignore_nulls { " IGNORE NULLS" } else { "" };
        let filter = match call.filter {
            Some(filter) => format!(" FILTER (WHERE {})", self.expr(filter)?),
            None => String::new(),
        };
        if !is_name(func) || self.foreign && !foreign::aggregates(self.arena, call, ignore_nulls) {
            return Err(named(func));
        }
        Ok(format!("{func}({distinct}{args}{order}{nulls}){filter}"))
    }

    /// The average of another dialect, to as many digits as it has there.
    fn rounded(&self, call: &AggCall, printed: String) -> String {
        match functions::average_scale(self.arena, call) {
            Some(0) if self.foreign => format!("CAST(trunc({printed}) AS BIGINT)"),
            Some(scale) if self.foreign => format!("round({printed}, {scale})"),
            _ => printed,
        }
    }

    fn window(&mut self, window: &WindowCall) -> Printed {
        let call = self.aggregate(&window.call, window.ignore_nulls)?;
        let mut over = Vec::new();
        if !window.partition.is_empty() {
            over.push(format!("PARTITION BY {}", self.list(&window.partition)?.join(", ")));
        }
        let order = self.order(&window.order)?;
        if !order.is_empty() {
            over.push(order.trim().to_owned());
        }
        if let Some(Frame { units, start, end }) = window.frame {
            let units = match units {
                'r' => "ROWS",
                'g' => "RANGE",
                _ => "GROUPS",
            };
            over.push(format!("{units} BETWEEN {} AND {}", self.bound(start)?, self.bound(end)?));
        }
        Ok(format!("{call} OVER ({})", over.join(" ")))
    }

    fn bound(&mut self, bound: FrameBound) -> Printed {
        Ok(match bound {
            FrameBound::Start => "UNBOUNDED PRECEDING".to_owned(),
            FrameBound::Preceding(n) => format!("{} PRECEDING", self.expr(n)?),
            FrameBound::Current => "CURRENT ROW".to_owned(),
            FrameBound::Following(n) => format!("{} FOLLOWING", self.expr(n)?),
            FrameBound::End => "UNBOUNDED FOLLOWING".to_owned(),
        })
    }
}

fn too_deep() -> String {
    "a query that is nested too deep".to_owned()
}

fn named(func: &str) -> String {
    if is_name(func) { format!("{func}()") } else { format!("the operator {func}") }
}

pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A call under the names that the algebra gives to functions and operators.
fn call(func: &str, args: &[String]) -> Option<String> {
    const INFIX: [&str; 16] =
        ["+", "-", "*", "/", "//", "%", "||", "&", "|", "^", "<<", ">>", "->", "->>", "like", "ilike"];
    Some(match (func, args) {
        ("neg", [a]) => format!("(- {a})"),
        ("like" | "ilike", [a, b, escape]) => format!("({a} {func} {b} ESCAPE {escape})"),
        (_, [_, _, ..]) if INFIX.contains(&func) => format!("({})", args.join(&format!(" {func} "))),
        ("row", _) => format!("row({})", args.join(", ")),
        (_, [a]) if func.starts_with("interval ") => {
            let unit = func.trim_start_matches("interval ");
            format!("to_{}s({a})", if is_name(unit) { unit } else { return None })
        }
        _ if is_name(func) => format!("{func}({})", args.join(", ")),
        _ => return None,
    })
}

/// A type as DuckDB spells it.
fn type_name(data_type: Type, written: &str) -> String {
    match data_type {
        Type::Bool => "BOOLEAN".to_owned(),
        Type::Int(8) => "TINYINT".to_owned(),
        Type::Int(16) => "SMALLINT".to_owned(),
        Type::Int(32) => "INTEGER".to_owned(),
        Type::Int(64) => "BIGINT".to_owned(),
        Type::Int(_) => "HUGEINT".to_owned(),
        Type::Decimal(precision, scale) => format!("DECIMAL({precision},{scale})"),
        Type::Float(32) => "FLOAT".to_owned(),
        Type::Float(_) => "DOUBLE".to_owned(),
        Type::Text => "VARCHAR".to_owned(),
        Type::Date => "DATE".to_owned(),
        Type::Timestamp => "TIMESTAMP".to_owned(),
        Type::TimestampTz => "TIMESTAMPTZ".to_owned(),
        Type::Time => "TIME".to_owned(),
        Type::Interval => "INTERVAL".to_owned(),
        Type::Unknown => written.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::compare::{Options, normal_form};
    use crate::sql::facts::FactSet;
    use crate::sql::{Dialect, Schema, parse::parse_query};

    #[test]
    fn what_is_printed_parses_and_has_the_same_normal_form() {
        let schema: Schema = serde_json::from_str(
            r#"{"tables": {"t": {"columns": {"id": {"type": "INTEGER", "nullable": false}, "a": {"type": "INTEGER"},
                "s": {"type": "VARCHAR"}}, "primary_key": ["id"]},
                "u": {"columns": {"t_id": {"type": "INTEGER"}, "x": {"type": "DECIMAL(8,2)"}}}}}"#,
        )
        .expect("the schema is JSON");
        let facts = FactSet::declared(&schema);
        for sql in [
            "select id, a + 1 as b from t where s = 'it''s' and a > -2",
            "select t.s, count(*) as n, sum(u.x) as x from t left join u on u.t_id = t.id and u.x > 1.50 group by 1",
            "select id from t where a in (select t_id from u) or not exists (select 1 from u where u.t_id = t.id)",
            "select id, row_number() over (partition by s order by a desc) as n from t",
            "select s from t union all select 'x' from u",
            "select case when a > 1 then 'p' end as p from t order by id limit 3",
            "select count(*) as n from t",
            "select distinct s from t except all select s from t where a = 1",
        ] {
            let form = |sql: &str| {
                normal_form(sql, &schema, &facts, &Options::default()).expect("has a normal form")
            };
            let first = form(sql);
            let printed = to_sql(&first.arena, &first.query).expect("prints");
            assert!(parse_query(&printed, Dialect::DuckDb).is_ok(), "{printed}");
            assert_eq!(first.canonical, form(&printed).canonical, "{sql}\n{printed}");
        }
    }
}
