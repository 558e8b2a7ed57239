//! Grouping.

use super::super::algebra::map::Substitution;
use super::super::algebra::{Aggregate, Block, Col, ColSet, ExprId, Source};
use super::{BindFault, Lowerer, Result, STAR};

impl Lowerer<'_> {
    /// Wraps a block into a grouping; the expressions `above` are rewritten to read keys and aggregates.
    pub(super) fn aggregate_block(
        &mut self,
        input: Block,
        group: Option<Vec<ExprId>>,
        aggs: Vec<(Col, ExprId)>,
        above: Vec<&mut ExprId>,
    ) -> Result<Block> {
        let scalar = group.is_none();
        let own = self.arena.visible_set(&input);
        let mut keys: Vec<(Col, ExprId)> = Vec::new();
        let mut replaced = Substitution::default();
        for key in group.unwrap_or_default() {
            if self.arena.as_const(key).is_some() || keys.iter().any(|(_, other)| *other == key) {
                continue;
            }
            let name = self.arena.sym("key");
            let col = self.new_col(name, key, &input);
            let column = self.arena.column(col);
            replaced.set_expr(key, column);
            keys.push((col, key));
        }
        for expr in above {
            *expr = replaced.apply(&mut self.arena, *expr);
            self.grouped(*expr, &own)?;
        }
        let source = Source::Aggregate(Box::new(Aggregate { input, keys, aggs, scalar }));
        Ok(Block { sources: vec![source], ..Block::default() })
    }

    /// Refuses an expression above a grouping that still reads its rows.
    pub(super) fn grouped(&self, expr: ExprId, rows: &ColSet) -> Result<()> {
        let used = self.arena.columns_of(expr);
        match used.iter().find(|col| rows.contains(*col)) {
            Some(col) => {
                let name = self.arena.text(self.arena.col(col).name);
                if name == STAR {
                    return Err(BindFault::unsupported("* of columns that are not known beside GROUP BY"));
                }
                Err(BindFault::NotGrouped { name: name.to_owned() })
            }
            None => Ok(()),
        }
    }
}
