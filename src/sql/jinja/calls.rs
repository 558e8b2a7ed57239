//! What a template calls, read from its syntax tree: every branch counts, whether it would run or not.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{self, CallArg, Expr, Stmt};
use minijinja::machinery::{Span, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use serde_json::Value as Json;

use super::{JinjaFault, Rendered};

/// One use of something in a template.
#[derive(Debug, Clone, PartialEq)]
pub enum JinjaUse {
    /// A name that the template does not define, with the attributes read from it and, when it is called, its arguments.
    Name {
        /// Dotted path, `target.name`, `dbt_utils.star`; a subscript or a method of a result ends it.
        path: String,
        /// The call, if it is one.
        call: Option<Arguments>,
        /// Line and column, from 1.
        place: (usize, usize),
    },
    /// A call of something other than a name, `{{ x.upper() }}`, `{{ f()() }}`.
    Method {
        /// The method's name; empty where it is not written out.
        name: String,
        /// Whether arguments are passed by name.
        named: bool,
        /// Line and column, from 1.
        place: (usize, usize),
    },
    /// A text that is written out in an expression, but for those that say how the model is built or what is wrong.
    Text {
        /// The text.
        text: String,
        /// Line and column, from 1.
        place: (usize, usize),
    },
    /// A filter, `{{ x | attr('y') }}`.
    Filter {
        /// Its name.
        name: String,
        /// Line and column, from 1.
        place: (usize, usize),
    },
    /// A statement that a model has no need of: `import`, `from`, `include`, `extends`, `block`, `call`, `macro`, `autoescape`.
    Tag {
        /// Its name.
        name: &'static str,
        /// Line and column, from 1.
        place: (usize, usize),
    },
}

impl JinjaUse {
    /// Line and column, from 1.
    pub fn place(&self) -> (usize, usize) {
        match self {
            Self::Name { place, .. }
            | Self::Method { place, .. }
            | Self::Text { place, .. }
            | Self::Filter { place, .. }
            | Self::Tag { place, .. } => *place,
        }
    }
}

/// Arguments of a call; a value that is not a constant is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    /// Positional ones.
    pub positional: Vec<Option<Json>>,
    /// Keyword ones, in order.
    pub keywords: Vec<(String, Option<Json>)>,
    /// Keys of a positional map literal, `config({'materialized': 'table'})`; `None` for a key that is not a constant.
    pub map: Vec<(Option<String>, Option<Json>)>,
    /// Whether some arguments come from `*args` or `**kwargs`.
    pub spread: bool,
}

/// All that a template uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Uses {
    /// Uses, in the order of the text.
    pub uses: Vec<JinjaUse>,
    /// Names that the template does not define in some place where it uses them.
    pub undeclared: BTreeSet<String>,
    /// Whether it calculates or unpacks anything.
    pub(super) operates: bool,
    /// Assignments: names that are set, names that they are set from.
    flows: Vec<(BTreeSet<String>, BTreeSet<String>)>,
    /// Decisions (conditions, loops, filters, comparisons): names that they depend on.
    decisions: Vec<BTreeSet<String>>,
}

/// Reads a template's uses.
///
/// # Errors
/// A syntax fault, with line and column.
pub fn scan(source: &str) -> Result<Uses, JinjaFault> {
    refuse_deep_expressions(source)?;
    let tree = parse(source, "model", SyntaxConfig::default())
        .map_err(|error| JinjaFault::from_minijinja(&error, source, None))?;
    let mut environment = minijinja::Environment::empty();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Chainable);
    let template = environment.template_from_named_str("model", source);
    let undeclared = match &template {
        Ok(template) => template.undeclared_variables(false).into_iter().collect(),
        Err(error) => return Err(JinjaFault::from_minijinja(error, source, None)),
    };
    let mut walk =
        Walk { uses: Uses { undeclared, ..Uses::default() }, macros: BTreeSet::new(), prose: false };
    walk.statement(&tree);
    walk.uses.uses.sort_by_key(JinjaUse::place);
    Ok(walk.uses)
}

/// Links of a chain (`a + b + c`, `a.b.c`, `not not a`) and `elif` branches that are read.
const MAX_CHAIN: usize = 250;

/// The parser guards against deep nesting but not against long chains, which become trees that are as deep as they are long.
fn refuse_deep_expressions(source: &str) -> Result<(), JinjaFault> {
    let mut chains = vec![0usize];
    let mut depth = 0usize;
    let mut elifs = 0usize;
    for token in tokenize(source, false, SyntaxConfig::default()) {
        let Ok((token, span)) = token else { return Ok(()) };
        let links = match token {
            Token::VariableStart | Token::BlockStart => {
                chains = vec![0];
                depth = 0;
                0
            }
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => {
                chains.push(0);
                1
            }
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                depth -= chains.pop().unwrap_or(0).min(depth);
                0
            }
            Token::Comma => {
                depth -= chains.last().copied().unwrap_or(0).min(depth);
                if let Some(chain) = chains.last_mut() {
                    *chain = 0;
                }
                0
            }
            Token::Ident("elif") => {
                elifs += 1;
                0
            }
            Token::Ident("not" | "and" | "or" | "if" | "else" | "is" | "in") => 1,
            Token::TemplateData(_) | Token::Ident(_) | Token::Str(_) | Token::String(_) | Token::Int(_) => 0,
            _ => 1,
        };
        depth += links;
        if let Some(chain) = chains.last_mut() {
            *chain += links;
        }
        if depth > MAX_CHAIN || elifs > MAX_CHAIN {
            let mut fault =
                JinjaFault::limit(format!("more than {MAX_CHAIN} operators or branches in a row"));
            (fault.line, fault.column) = (Some(place(span).0), Some(place(span).1));
            return Err(fault);
        }
    }
    Ok(())
}

impl Uses {
    /// The filters, each once.
    pub(super) fn filters(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&str> = self
            .uses
            .iter()
            .filter_map(|one| match one {
                JinjaUse::Filter { name, .. } => Some(name.as_str()),
                _ => None,
            })
            .collect();
        names.into_iter()
    }

    /// Why the rendered text depends on names whose value is not known: those `opaque` says, a variable without a value, and
    /// `execute`, which is true unless asked otherwise, as when dbt compiles.
    pub(super) fn undecided(&self, rendered: &Rendered, opaque: impl Fn(&str) -> bool) -> Vec<String> {
        let unknown = |name: &str| match name {
            "execute" | "graph" | "model" | "adapter" | "run_query" | "load_result" | "run_started_at" => {
                true
            }
            "env_var" => !rendered.env_vars.is_empty(),
            "var" => !rendered.missing_vars.is_empty(),
            _ => self.undeclared.contains(name) && opaque(name),
        };
        let mut tainted: BTreeSet<&str> = BTreeSet::new();
        loop {
            let before = tainted.len();
            for (targets, from) in &self.flows {
                if from.iter().any(|name| tainted.contains(name.as_str()) || unknown(name)) {
                    tainted.extend(targets.iter().map(String::as_str));
                }
            }
            if tainted.len() == before {
                break;
            }
        }
        let names: BTreeSet<&str> = self
            .decisions
            .iter()
            .flatten()
            .map(String::as_str)
            .filter(|name| tainted.contains(name) || unknown(name))
            .collect();
        names.into_iter().map(|name| format!("the text depends on what `{name}` is")).collect()
    }
}

struct Walk {
    uses: Uses,
    /// Macros of the template that were declared so far.
    macros: BTreeSet<String>,
    /// Whether texts do not become SQL.
    prose: bool,
}

fn place(span: Span) -> (usize, usize) {
    (usize::from(span.start_line).max(1), usize::from(span.start_col) + 1)
}

fn json(expr: &Expr<'_>) -> Option<Json> {
    expr.as_const().and_then(|value| serde_json::to_value(value).ok())
}

impl Walk {
    fn body(&mut self, statements: &[Stmt<'_>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn tag(&mut self, name: &'static str, span: Span) {
        self.uses.uses.push(JinjaUse::Tag { name, place: place(span) });
    }

    fn flow(&mut self, target: &Expr<'_>, from: BTreeSet<String>) {
        let targets = mentions(target);
        self.uses.flows.push((targets, from));
    }

    fn decision(&mut self, expr: &Expr<'_>) {
        let names = mentions(expr);
        if !names.is_empty() {
            self.uses.decisions.push(names);
        }
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        let target = match statement {
            Stmt::Set(s) => Some(&s.target),
            Stmt::ForLoop(s) => Some(&s.target),
            _ => None,
        };
        self.uses.operates |= matches!(target, Some(Expr::List(_) | Expr::Tuple(_)));
        match statement {
            Stmt::Template(s) => self.body(&s.children),
            Stmt::EmitExpr(s) => self.expr(&s.expr),
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
            Stmt::ForLoop(s) => {
                self.expr(&s.iter);
                self.decision(&s.iter);
                if let Some(filter) = &s.filter_expr {
                    self.expr(filter);
                    self.decision(filter);
                }
                self.flow(&s.target, mentions(&s.iter));
                self.body(&s.body);
                self.body(&s.else_body);
            }
            Stmt::IfCond(s) => {
                self.expr(&s.expr);
                self.decision(&s.expr);
                self.body(&s.true_body);
                self.body(&s.false_body);
            }
            Stmt::WithBlock(s) => {
                for (target, value) in &s.assignments {
                    self.expr(value);
                    self.flow(target, mentions(value));
                }
                self.body(&s.body);
            }
            Stmt::Set(s) => {
                self.expr(&s.expr);
                self.flow(&s.target, mentions(&s.expr));
            }
            Stmt::SetBlock(s) => {
                if let Some(filter) = &s.filter {
                    self.expr(filter);
                }
                self.flow(&s.target, body_mentions(&s.body));
                self.body(&s.body);
            }
            Stmt::AutoEscape(s) => {
                self.tag("autoescape", s.span());
                self.expr(&s.enabled);
                self.body(&s.body);
            }
            Stmt::FilterBlock(s) => {
                self.expr(&s.filter);
                self.body(&s.body);
            }
            Stmt::Block(s) => {
                self.tag("block", s.span());
                self.body(&s.body);
            }
            Stmt::Import(s) => {
                self.tag("import", s.span());
                self.expr(&s.expr);
            }
            Stmt::FromImport(s) => {
                self.tag("from", s.span());
                self.expr(&s.expr);
            }
            Stmt::Extends(s) => {
                self.tag("extends", s.span());
                self.expr(&s.name);
            }
            Stmt::Include(s) => {
                self.tag("include", s.span());
                self.expr(&s.name);
            }
            Stmt::Macro(s) => {
                self.tag("macro", s.span());
                self.macros.insert(s.name.to_owned());
                self.macro_body(s);
            }
            Stmt::CallBlock(s) => {
                self.tag("call", s.span());
                self.call(&s.call);
                self.macro_body(&s.macro_decl);
            }
            Stmt::Do(s) => self.call(&s.call),
        }
    }

    fn macro_body(&mut self, declaration: &ast::Macro<'_>) {
        for default in &declaration.defaults {
            self.expr(default);
        }
        // What is passed in is not followed: parameters take the taint of everything that the template calls with.
        for argument in &declaration.args {
            self.flow(argument, BTreeSet::from([declaration.name.to_owned()]));
        }
        self.uses
            .flows
            .push((BTreeSet::from([declaration.name.to_owned()]), body_mentions(&declaration.body)));
        self.body(&declaration.body);
    }

    /// The dotted path of a chain of attributes that starts with a name the template does not define.
    fn path(&self, expr: &Expr<'_>) -> Option<(String, Span)> {
        match expr {
            Expr::Var(var) if self.uses.undeclared.contains(var.id) => Some((var.id.to_owned(), var.span())),
            Expr::GetAttr(attribute) => {
                let (path, span) = self.path(&attribute.expr)?;
                Some((format!("{path}.{}", attribute.name), span))
            }
            _ => None,
        }
    }

    fn name(&mut self, path: String, call: Option<Arguments>, span: Span) {
        self.uses.uses.push(JinjaUse::Name { path, call, place: place(span) });
    }

    fn call(&mut self, call: &ast::Call<'_>) {
        let path = self.path(&call.expr);
        let is_prose = |path: &str| path.ends_with("config") || path.starts_with("exceptions.");
        let before = self.prose;
        self.prose |= path.as_ref().is_some_and(|(path, _)| is_prose(path));
        let mut arguments = Arguments::default();
        let mut passed = BTreeSet::new();
        for argument in &call.args {
            let expr = match argument {
                CallArg::Pos(expr) => {
                    if let Expr::Map(map) = expr {
                        for (key, value) in map.keys.iter().zip(&map.values) {
                            let key = json(key).and_then(|key| key.as_str().map(str::to_owned));
                            arguments.map.push((key, json(value)));
                        }
                    }
                    arguments.positional.push(json(expr));
                    expr
                }
                CallArg::Kwarg(name, expr) => {
                    arguments.keywords.push(((*name).to_owned(), json(expr)));
                    expr
                }
                CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => {
                    arguments.spread = true;
                    expr
                }
            };
            passed.extend(mentions(expr));
            self.expr(expr);
        }
        // What is passed to a method may end up in the value that it is called on.
        match &call.expr {
            Expr::Var(var) => self.uses.flows.push((BTreeSet::from([var.id.to_owned()]), passed)),
            Expr::GetAttr(attribute) => self.flow(&attribute.expr, passed),
            _ => {}
        }
        self.prose = before;
        match path {
            Some((path, span)) => self.name(path, Some(arguments), span),
            None => {
                self.method(call);
                self.expr(&call.expr);
            }
        }
    }

    /// Notes a call of something that is no name of dbt's, of a package's or of a macro in the template.
    fn method(&mut self, call: &ast::Call<'_>) {
        let name = match &call.expr {
            Expr::Var(var) if self.macros.contains(var.id) || matches!(var.id, "loop" | "caller") => return,
            Expr::GetAttr(attribute) => attribute.name.to_owned(),
            _ => String::new(),
        };
        let is_named = |argument: &CallArg<'_>| !matches!(argument, CallArg::Pos(_));
        let named = call.args.iter().any(is_named);
        self.uses.uses.push(JinjaUse::Method { name, named, place: place(call.expr.span()) });
    }

    fn arguments(&mut self, args: &[CallArg<'_>]) {
        for argument in args {
            match argument {
                CallArg::Pos(e) | CallArg::Kwarg(_, e) | CallArg::PosSplat(e) | CallArg::KwargSplat(e) => {
                    self.expr(e);
                }
            }
        }
    }

    fn expr(&mut self, expr: &Expr<'_>) {
        if let Some((path, span)) = self.path(expr) {
            self.name(path, None, span);
            return;
        }
        match expr {
            Expr::Var(_) => {}
            Expr::Const(constant) => {
                if let (Some(text), false) = (constant.value.as_str(), self.prose) {
                    let (text, place) = (text.to_owned(), place(constant.span()));
                    self.uses.uses.push(JinjaUse::Text { text, place });
                }
            }
            Expr::Slice(e) => {
                self.expr(&e.expr);
                for part in [&e.start, &e.stop, &e.step].into_iter().flatten() {
                    self.expr(part);
                }
            }
            Expr::UnaryOp(e) => {
                self.uses.operates |= matches!(e.op, ast::UnaryOpKind::Neg);
                self.expr(&e.expr);
            }
            Expr::BinOp(e) => {
                self.uses.operates |= matches!(
                    e.op,
                    ast::BinOpKind::Add
                        | ast::BinOpKind::Sub
                        | ast::BinOpKind::Mul
                        | ast::BinOpKind::Div
                        | ast::BinOpKind::FloorDiv
                        | ast::BinOpKind::Rem
                        | ast::BinOpKind::Pow
                );
                if !matches!(e.op, ast::BinOpKind::Add | ast::BinOpKind::Concat) {
                    self.decision(expr);
                }
                self.expr(&e.left);
                self.expr(&e.right);
            }
            Expr::Compare(e) => {
                self.decision(expr);
                self.expr(&e.expr);
                for op in &e.ops {
                    self.expr(&op.expr);
                }
            }
            Expr::IfExpr(e) => {
                self.decision(&e.test_expr);
                self.expr(&e.test_expr);
                self.expr(&e.true_expr);
                if let Some(other) = &e.false_expr {
                    self.expr(other);
                }
            }
            Expr::Filter(e) => {
                self.uses.uses.push(JinjaUse::Filter { name: e.name.to_owned(), place: place(e.span()) });
                if let Some(input) = &e.expr {
                    self.decision(input);
                    self.expr(input);
                }
                self.arguments(&e.args);
            }
            Expr::Test(e) => {
                self.decision(&e.expr);
                self.expr(&e.expr);
                self.arguments(&e.args);
            }
            Expr::GetAttr(e) => self.expr(&e.expr),
            Expr::GetItem(e) => {
                self.expr(&e.expr);
                self.expr(&e.subscript_expr);
            }
            Expr::Call(e) => self.call(e),
            Expr::List(e) => e.items.iter().for_each(|item| self.expr(item)),
            Expr::Tuple(e) => e.items.iter().for_each(|item| self.expr(item)),
            Expr::Map(e) => e.keys.iter().chain(&e.values).for_each(|item| self.expr(item)),
        }
    }
}

/// The names that an expression reads.
fn mentions(expr: &Expr<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(expr, &mut names);
    names
}

fn body_mentions(body: &[Stmt<'_>]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for statement in body {
        match statement {
            Stmt::EmitExpr(s) => collect(&s.expr, &mut names),
            Stmt::ForLoop(s) => {
                collect(&s.iter, &mut names);
                names.extend(body_mentions(&s.body));
                names.extend(body_mentions(&s.else_body));
            }
            Stmt::IfCond(s) => {
                collect(&s.expr, &mut names);
                names.extend(body_mentions(&s.true_body));
                names.extend(body_mentions(&s.false_body));
            }
            Stmt::WithBlock(s) => names.extend(body_mentions(&s.body)),
            Stmt::Set(s) => collect(&s.expr, &mut names),
            Stmt::SetBlock(s) => names.extend(body_mentions(&s.body)),
            Stmt::FilterBlock(s) => names.extend(body_mentions(&s.body)),
            Stmt::CallBlock(s) => {
                call_mentions(&s.call, &mut names);
                names.extend(body_mentions(&s.macro_decl.body));
            }
            Stmt::Do(s) => call_mentions(&s.call, &mut names),
            _ => {}
        }
    }
    names
}

fn call_mentions(call: &ast::Call<'_>, names: &mut BTreeSet<String>) {
    collect(&call.expr, names);
    argument_mentions(&call.args, names);
}

fn argument_mentions(args: &[CallArg<'_>], names: &mut BTreeSet<String>) {
    for argument in args {
        match argument {
            CallArg::Pos(e) | CallArg::Kwarg(_, e) | CallArg::PosSplat(e) | CallArg::KwargSplat(e) => {
                collect(e, names);
            }
        }
    }
}

fn collect(expr: &Expr<'_>, names: &mut BTreeSet<String>) {
    match expr {
        Expr::Var(var) => {
            names.insert(var.id.to_owned());
        }
        Expr::Const(_) => {}
        Expr::Slice(e) => {
            collect(&e.expr, names);
            for part in [&e.start, &e.stop, &e.step].into_iter().flatten() {
                collect(part, names);
            }
        }
        Expr::UnaryOp(e) => collect(&e.expr, names),
        Expr::BinOp(e) => {
            collect(&e.left, names);
            collect(&e.right, names);
        }
        Expr::Compare(e) => {
            collect(&e.expr, names);
            e.ops.iter().for_each(|op| collect(&op.expr, names));
        }
        Expr::IfExpr(e) => {
            collect(&e.test_expr, names);
            collect(&e.true_expr, names);
            if let Some(other) = &e.false_expr {
                collect(other, names);
            }
        }
        Expr::Filter(e) => {
            if let Some(input) = &e.expr {
                collect(input, names);
            }
            argument_mentions(&e.args, names);
        }
        Expr::Test(e) => {
            collect(&e.expr, names);
            argument_mentions(&e.args, names);
        }
        Expr::GetAttr(e) => collect(&e.expr, names),
        Expr::GetItem(e) => {
            collect(&e.expr, names);
            collect(&e.subscript_expr, names);
        }
        Expr::Call(e) => call_mentions(e, names),
        Expr::List(e) => e.items.iter().for_each(|item| collect(item, names)),
        Expr::Tuple(e) => e.items.iter().for_each(|item| collect(item, names)),
        Expr::Map(e) => e.keys.iter().chain(&e.values).for_each(|item| collect(item, names)),
    }
}
