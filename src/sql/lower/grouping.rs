//! ROLLUP, CUBE and GROUPING SETS: a union of groupings of the same rows.

use sqlparser::ast::{Expr, GroupByExpr, GroupByWithModifier};

use super::super::Dialect;
use super::super::algebra::map::Substitution;
use super::super::algebra::{Aggregate, Block, Branch, Col, ExprId, Source, Sub, Sym, Union};
use super::super::types::Type;
use super::{BindFault, Lowerer, MAX_SCANS, Result};

/// More groupings than this in one query are not compared.
const MAX_SETS: usize = 64;

/// How a SELECT groups.
pub(super) enum Grouping {
    /// By these keys; `None` where there is no GROUP BY.
    Keys(Option<Vec<ExprId>>),
    /// By each of these sets of keys in turn.
    Sets(Vec<Vec<ExprId>>),
}

/// A call of GROUPING: its column, the keys that it asks for.
pub(super) type GroupingCall = (Col, Vec<ExprId>);

impl<'a> Lowerer<'a> {
    /// The keys of GROUP BY.
    pub(super) fn grouping(
        &mut self,
        group_by: &'a GroupByExpr,
        outputs: &[(Sym, ExprId)],
    ) -> Result<Grouping> {
        let GroupByExpr::Expressions(list, modifiers) = group_by else {
            return self.group_keys(group_by, outputs).map(Grouping::Keys);
        };
        let sets_of = |item: &Expr| matches!(item, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_));
        if modifiers.is_empty() && !list.iter().any(sets_of) {
            return self.group_keys(group_by, outputs).map(Grouping::Keys);
        }
        let mut sets: Vec<Vec<ExprId>> = vec![Vec::new()];
        let mut plain = Vec::new();
        for item in list {
            let more = match item {
                Expr::Rollup(items) => rollup(&self.key_lists(items, outputs)?),
                Expr::Cube(items) => cube(&self.key_lists(items, outputs)?)?,
                Expr::GroupingSets(items) => self.key_lists(items, outputs)?,
                item => {
                    let keys = self.key_list(item, outputs)?;
                    plain.push(keys.clone());
                    vec![keys]
                }
            };
            sets = product(&sets, &more)?;
        }
        match modifiers.as_slice() {
            [] => {}
            [GroupByWithModifier::Rollup] if plain.len() == list.len() => sets = rollup(&plain),
            [GroupByWithModifier::Cube] if plain.len() == list.len() => sets = cube(&plain)?,
            // The keys before it are all that there are; the sets choose among them.
            [GroupByWithModifier::GroupingSets(Expr::GroupingSets(items))] if plain.len() == list.len() => {
                sets = self.key_lists(items, outputs)?;
            }
            _ => return Err(BindFault::unsupported("a modifier of GROUP BY")),
        }
        Ok(Grouping::Sets(sets))
    }

    fn key_lists(&mut self, items: &'a [Vec<Expr>], outputs: &[(Sym, ExprId)]) -> Result<Vec<Vec<ExprId>>> {
        let mut lists = Vec::with_capacity(items.len());
        for item in items {
            let mut keys = Vec::with_capacity(item.len());
            for part in item {
                keys.extend(self.key_list(part, outputs)?);
            }
            lists.push(keys);
        }
        Ok(lists)
    }

    fn key_list(&mut self, item: &'a Expr, outputs: &[(Sym, ExprId)]) -> Result<Vec<ExprId>> {
        match item {
            Expr::Tuple(items) => items.iter().map(|item| self.group_key(item, outputs)).collect(),
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => {
                Err(BindFault::unsupported("grouping sets inside grouping sets"))
            }
            item => Ok(vec![self.group_key(item, outputs)?]),
        }
    }

    // rule: grouping-sets
    /// Wraps a block into groupings by each of the sets; the expressions `above` are rewritten to read their columns.
    pub(super) fn grouping_sets(
        &mut self,
        input: &Block,
        sets: &[Vec<ExprId>],
        aggs: &[(Col, ExprId)],
        calls: &[GroupingCall],
        above: Vec<&mut ExprId>,
    ) -> Result<Block> {
        let own = self.arena.visible_set(input);
        let mut keys: Vec<ExprId> = Vec::new();
        for key in sets.iter().flatten() {
            if self.arena.as_const(*key).is_some() {
                return Err(BindFault::unsupported("a literal as a key of grouping sets"));
            }
            if !keys.contains(key) {
                keys.push(*key);
            }
        }
        let mut replaced = Substitution::default();
        let mut cols = Vec::with_capacity(keys.len() + aggs.len() + calls.len());
        let key_name = self.arena.sym("key");
        for key in &keys {
            let data_type = self.arena.type_of(*key);
            let col = self.arena.new_col(key_name, data_type, true);
            let column = self.arena.column(col);
            replaced.set_expr(*key, column);
            cols.push(col);
        }
        cols.extend(aggs.iter().map(|(col, _)| *col));
        cols.extend(calls.iter().map(|(col, _)| *col));
        let mut branches = Vec::with_capacity(sets.len());
        for set in sets {
            branches.push(self.one_set(input, &keys, set, aggs, calls)?);
        }
        for expr in above {
            *expr = replaced.apply(&mut self.arena, *expr);
            self.grouped(*expr, &own)?;
        }
        let union = Source::Union(Box::new(Union { cols, branches }));
        Ok(Block { sources: vec![union], ..Block::default() })
    }

    fn one_set(
        &mut self,
        input: &Block,
        keys: &[ExprId],
        set: &[ExprId],
        aggs: &[(Col, ExprId)],
        calls: &[GroupingCall],
    ) -> Result<Branch> {
        // Each grouping reads the rows anew.
        let outputs = keys.iter().copied().chain(aggs.iter().map(|(_, e)| *e)).collect();
        let mut copy = Sub { block: input.clone(), outputs };
        self.arena.refresh(&mut copy);
        self.scans_apart += 1;
        if self.arena.scan_count() + self.scans_apart > MAX_SCANS {
            return Err(BindFault::TooLarge);
        }
        let key_name = self.arena.sym("key");
        let mut grouping =
            Aggregate { input: Block::default(), keys: Vec::new(), aggs: Vec::new(), scalar: set.is_empty() };
        let mut outputs = Vec::with_capacity(copy.outputs.len() + calls.len());
        for (key, e) in keys.iter().zip(&copy.outputs) {
            if set.contains(key) {
                let col = self.new_col(key_name, *e, &copy.block);
                grouping.keys.push((col, *e));
                outputs.push(self.arena.column(col));
            } else {
                outputs.push(self.arena.null());
            }
        }
        for ((col, _), e) in aggs.iter().zip(&copy.outputs[keys.len()..]) {
            let info = *self.arena.col(*col);
            let fresh = self.arena.new_col(info.name, info.data_type, info.nullable);
            *self.arena.col_mut(fresh) = info;
            grouping.aggs.push((fresh, *e));
            outputs.push(self.arena.column(fresh));
        }
        for (_, asked) in calls {
            let mut mask = 0i128;
            for key in asked {
                if !keys.contains(key) {
                    return Err(BindFault::unsupported("GROUPING of what is no key"));
                }
                mask = mask * 2 + i128::from(!set.contains(key));
            }
            outputs.push(self.arena.int(mask));
        }
        let mut filters = Vec::new();
        if set.is_empty() && !matches!(self.dialect, Dialect::DuckDb | Dialect::Postgres) {
            // Whether there is a grand total of no rows is not known of the others.
            let count = self.arena.sym("count");
            let call = super::super::algebra::AggCall {
                func: count,
                args: Box::new([]),
                distinct: false,
                filter: None,
                order: Box::new([]),
            };
            let rows = self.arena.aggregate(call);
            let col = self.arena.new_col(count, Type::Int(64), false);
            grouping.aggs.push((col, rows));
            let col = self.arena.column(col);
            filters.push(self.arena.call("has a grand total", &[col]));
        }
        grouping.input = copy.block;
        let block =
            Block { sources: vec![Source::Aggregate(Box::new(grouping))], filters, ..Block::default() };
        Ok(Branch { block, outputs })
    }
}

/// Every beginning of the list, the whole first.
fn rollup(lists: &[Vec<ExprId>]) -> Vec<Vec<ExprId>> {
    (0..=lists.len()).rev().map(|length| lists[..length].concat()).collect()
}

/// Every part of the list.
fn cube(lists: &[Vec<ExprId>]) -> Result<Vec<Vec<ExprId>>> {
    if lists.len() > 6 {
        return Err(BindFault::TooLarge);
    }
    let part = |bits: usize| {
        let members = lists.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        members.flat_map(|(_, list)| list.iter().copied()).collect()
    };
    Ok((0..1usize << lists.len()).rev().map(part).collect())
}

fn product(sets: &[Vec<ExprId>], more: &[Vec<ExprId>]) -> Result<Vec<Vec<ExprId>>> {
    if sets.len() * more.len() > MAX_SETS {
        return Err(BindFault::TooLarge);
    }
    Ok(sets.iter().flat_map(|a| more.iter().map(move |b| [a.as_slice(), b.as_slice()].concat())).collect())
}
