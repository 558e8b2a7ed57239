//! Rewrites the expressions of a template into calls of functions of ours, where Jinja alone would do something else: lists
//! and maps that are changed (`mutable`), arithmetic with what a macro gives and unpacking it (`operations`). Lines stay what
//! they are.

use minijinja::machinery::ast::{self, BinOpKind, CallArg, Expr, Stmt, UnaryOpKind};
use minijinja::machinery::{Span, parse};
use minijinja::syntax::SyntaxConfig;

use super::mutable::{LIST, MAP, OWN};
use super::operations::{NEGATE, OPERATE, UNPACK, UNPACK_EACH};

/// What is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rewrite {
    /// Lists and maps, so that they can be changed.
    pub(super) collections: bool,
    /// Arithmetic and unpacking, so that they take opaque values.
    pub(super) operations: bool,
}

/// The rewritten template; `None` where nothing is to be rewritten.
pub(super) fn rewritten(source: &str, what: Rewrite) -> Option<String> {
    if !what.collections && !what.operations {
        return None;
    }
    let tree = parse(source, "model", SyntaxConfig::default()).ok()?;
    let mut walk = Walk { source, what, edits: Vec::new() };
    walk.statement(&tree);
    let mut edits = walk.edits;
    // What closes comes before what opens at the same place; the outer one of two that open comes first, as it was found.
    edits.sort_by_key(|edit| (edit.start, edit.order));
    let mut text = String::with_capacity(source.len() + edits.len() * 16);
    let mut at = 0;
    for edit in edits {
        text.push_str(source.get(at..edit.start)?);
        text.push_str(&edit.text);
        at = edit.end;
    }
    text.push_str(source.get(at..)?);
    Some(text)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Close,
    Replace,
    Open,
}

#[derive(Debug)]
struct Edit {
    start: usize,
    end: usize,
    order: Order,
    text: String,
}

struct Walk<'s> {
    source: &'s str,
    what: Rewrite,
    edits: Vec<Edit>,
}

impl Walk<'_> {
    fn insert(&mut self, at: usize, order: Order, text: impl Into<String>) {
        self.edits.push(Edit { start: at, end: at, order, text: text.into() });
    }

    /// Puts a call around the text of a span.
    fn wrap(&mut self, span: Span, open: impl Into<String>, close: impl Into<String>) {
        self.insert(span.start_offset as usize, Order::Open, open);
        self.insert(span.end_offset as usize, Order::Close, close);
    }

    fn body(&mut self, statements: &[Stmt<'_>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(s) => self.body(&s.children),
            Stmt::EmitExpr(s) => self.outside(&s.expr),
            Stmt::ForLoop(s) => {
                if self.what.operations
                    && let Some(names) = targets(&s.target)
                {
                    self.unpack(&s.iter, UNPACK_EACH, names);
                }
                self.outside(&s.iter);
                s.filter_expr.iter().for_each(|filter| self.outside(filter));
                self.body(&s.body);
                self.body(&s.else_body);
            }
            Stmt::IfCond(s) => {
                self.outside(&s.expr);
                self.body(&s.true_body);
                self.body(&s.false_body);
            }
            Stmt::WithBlock(s) => {
                s.assignments.iter().for_each(|(_, value)| self.outside(value));
                self.body(&s.body);
            }
            Stmt::Set(s) => {
                if self.what.operations
                    && let Some(names) = targets(&s.target)
                {
                    self.unpack(&s.expr, UNPACK, names);
                }
                self.expression(&s.expr, true);
            }
            Stmt::SetBlock(s) => self.body(&s.body),
            Stmt::FilterBlock(s) => self.body(&s.body),
            Stmt::Macro(s) => self.body(&s.body),
            Stmt::CallBlock(s) => {
                self.arguments(&s.call.args, false);
                self.body(&s.macro_decl.body);
            }
            Stmt::Do(s) => self.arguments(&s.call.args, true),
            _ => {}
        }
    }

    /// Makes `a, b = x` take an opaque `x`.
    fn unpack(&mut self, expr: &Expr<'_>, function: &str, names: usize) {
        match expr {
            Expr::IfExpr(choice) => {
                self.unpack(&choice.true_expr, function, names);
                choice.false_expr.iter().for_each(|other| self.unpack(other, function, names));
            }
            // A tuple is what it is, and its text need not begin where the first member does.
            Expr::Tuple(_) => {}
            other => self.around(other, function, &format!(", {names}")),
        }
    }

    /// Makes a list or map that an expression gives one that can be changed.
    fn own(&mut self, expr: &Expr<'_>) {
        if self.what.collections {
            self.around(expr, OWN, "");
        }
    }

    /// Puts a call around an expression, with all that belongs to it.
    fn around(&mut self, expr: &Expr<'_>, function: &str, more: &str) {
        let (start, end) = (start(expr), span(expr).end_offset as usize);
        // Brackets around a part of it stand before its first name.
        let Some(text) = self.source.get(start..end) else { return };
        let Some(start) = before_brackets(self.source, start, unopened(text)) else { return };
        self.insert(start, Order::Open, format!("{function}("));
        self.insert(end, Order::Close, format!("{more})"));
    }

    fn arguments(&mut self, list: &[CallArg<'_>], keeps: bool) {
        for argument in list {
            match argument {
                CallArg::Pos(e) | CallArg::Kwarg(_, e) => self.expression(e, keeps),
                CallArg::PosSplat(e) | CallArg::KwargSplat(e) => self.outside(e),
            }
        }
    }

    /// An expression whose value nobody keeps to change it.
    fn outside(&mut self, expr: &Expr<'_>) {
        self.expression(expr, false);
    }

    /// An expression; `keeps`: whether its value may be changed later on.
    fn expression(&mut self, expr: &Expr<'_>, keeps: bool) {
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::List(list) => {
                if keeps && self.what.collections {
                    self.wrap(list.span(), format!("{LIST}("), ")");
                }
                list.items.iter().for_each(|item| self.expression(item, keeps));
            }
            Expr::Map(map) => {
                if keeps && self.what.collections {
                    self.wrap(map.span(), format!("{MAP}("), ")");
                }
                map.keys.iter().for_each(|key| self.outside(key));
                map.values.iter().for_each(|item| self.expression(item, keeps));
            }
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.outside(item)),
            Expr::IfExpr(choice) => {
                self.outside(&choice.test_expr);
                self.expression(&choice.true_expr, keeps);
                choice.false_expr.iter().for_each(|e| self.expression(e, keeps));
            }
            Expr::Call(call) => {
                // What a method gives is new, and so is a `dict(..)`.
                let is_new = match &call.expr {
                    Expr::GetAttr(method) => {
                        matches!(method.name, "split" | "rsplit" | "splitlines" | "keys" | "values" | "items")
                    }
                    Expr::Var(function) => function.id == "dict",
                    _ => false,
                };
                if keeps && is_new {
                    self.own(expr);
                }
                self.outside(&call.expr);
                self.arguments(&call.args, keeps);
            }
            Expr::Filter(filter) => {
                if keeps {
                    self.own(expr);
                }
                filter.expr.iter().for_each(|e| self.outside(e));
                self.arguments(&filter.args, false);
            }
            Expr::Test(test) => {
                self.outside(&test.expr);
                self.arguments(&test.args, false);
            }
            Expr::GetAttr(e) => self.outside(&e.expr),
            Expr::GetItem(e) => {
                self.outside(&e.expr);
                self.outside(&e.subscript_expr);
            }
            Expr::Slice(e) => {
                if keeps {
                    self.own(expr);
                }
                self.outside(&e.expr);
                [&e.start, &e.stop, &e.step].into_iter().flatten().for_each(|part| self.outside(part));
            }
            Expr::Compare(e) => {
                self.outside(&e.expr);
                e.ops.iter().for_each(|op| self.outside(&op.expr));
            }
            Expr::UnaryOp(e) => {
                if self.what.operations && matches!(e.op, UnaryOpKind::Neg) {
                    self.negate(e.span(), &e.expr);
                }
                self.outside(&e.expr);
            }
            Expr::BinOp(e) => {
                if keeps && matches!(e.op, BinOpKind::Add) {
                    self.own(expr);
                }
                if self.what.operations {
                    self.operate(e.span(), e);
                }
                self.outside(&e.left);
                self.outside(&e.right);
            }
        }
    }

    /// `-a` as a call.
    fn negate(&mut self, whole: Span, operand: &Expr<'_>) {
        if matches!(operand, Expr::Const(_)) {
            return;
        }
        let at = whole.start_offset as usize;
        if self.source[at..].starts_with('-') {
            self.edits.push(Edit { start: at, end: at + 1, order: Order::Open, text: format!("{NEGATE}(") });
            self.insert(whole.end_offset as usize, Order::Close, ")");
        }
    }

    /// `a + b` as a call.
    fn operate(&mut self, whole: Span, operation: &ast::BinOp<'_>) {
        let operator = match operation.op {
            BinOpKind::Add => "+",
            BinOpKind::Sub => "-",
            BinOpKind::Mul => "*",
            BinOpKind::Div => "/",
            BinOpKind::FloorDiv => "//",
            BinOpKind::Rem => "%",
            BinOpKind::Pow => "**",
            _ => return,
        };
        // Between the operands stands nothing but the operator and the brackets around them.
        let after = span(&operation.left).end_offset as usize;
        let Some(rest) = self.source.get(after..) else { return };
        let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ')');
        let at = after + (rest.len() - trimmed.len());
        if trimmed.starts_with(operator) {
            self.wrap(whole, format!("{OPERATE}('{operator}', "), ")");
            self.edits.push(Edit {
                start: at,
                end: at + operator.len(),
                order: Order::Replace,
                text: ",".to_owned(),
            });
        }
    }
}

/// How many names an assignment has, if it has several.
fn targets(target: &Expr<'_>) -> Option<usize> {
    match target {
        Expr::List(list) => Some(list.items.len()),
        Expr::Tuple(tuple) => Some(tuple.items.len()),
        _ => None,
    }
}

/// Where the first token of an expression stands, brackets aside: the spans of calls, attributes and filters begin later.
fn start(expr: &Expr<'_>) -> usize {
    match expr {
        Expr::Filter(e) => e.expr.as_ref().map_or(e.span().start_offset as usize, start),
        Expr::Test(e) => start(&e.expr),
        Expr::GetAttr(e) => start(&e.expr),
        Expr::GetItem(e) => start(&e.expr),
        Expr::Slice(e) => start(&e.expr),
        Expr::Call(e) => start(&e.expr),
        other => span(other).start_offset as usize,
    }
}

/// How many brackets a text closes that it does not open.
fn unopened(text: &str) -> usize {
    let (mut open, mut missing) = (0usize, 0usize);
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => open += 1,
            (None, ')') if open > 0 => open -= 1,
            (None, ')') => missing += 1,
            _ => {}
        }
    }
    missing
}

/// The position of the `count`th bracket before a place, where only brackets and white space stand between.
fn before_brackets(source: &str, start: usize, count: usize) -> Option<usize> {
    let mut at = start;
    for _ in 0..count {
        let before = source.get(..at)?.trim_end();
        at = before.len().checked_sub(1)?;
        before.ends_with('(').then_some(())?;
    }
    Some(at)
}

fn span(expr: &Expr<'_>) -> Span {
    match expr {
        Expr::Var(e) => e.span(),
        Expr::Const(e) => e.span(),
        Expr::Slice(e) => e.span(),
        Expr::UnaryOp(e) => e.span(),
        Expr::BinOp(e) => e.span(),
        Expr::Compare(e) => e.span(),
        Expr::IfExpr(e) => e.span(),
        Expr::Filter(e) => e.span(),
        Expr::Test(e) => e.span(),
        Expr::GetAttr(e) => e.span(),
        Expr::GetItem(e) => e.span(),
        Expr::Call(e) => e.span(),
        Expr::List(e) => e.span(),
        Expr::Tuple(e) => e.span(),
        Expr::Map(e) => e.span(),
    }
}
