//! Lists and maps that a template changes in place, as Python's: `{% do names.append('x') %}`. minijinja's own cannot
//! change, so in a template that calls such a method every list and map that is written there is made one that can.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::machinery::ast::{self, Expr, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, State, Value};

/// Methods that change a list or a map.
pub(super) const METHODS: &[&str] = &["append", "extend", "update", "insert", "pop", "remove"];
/// Most members of a list or map that is changed.
const MAX_LENGTH: usize = 10_000;
/// How often a template may put one of them into another, which also bounds how deep they nest.
const MAX_NESTED: usize = 200;
/// The functions that make them; no template can name them.
const LIST: &str = "assay_list_";
const MAP: &str = "assay_map_";

/// Adds the functions that the rewritten template calls.
pub(super) fn register(environment: &mut Environment<'_>) {
    let nested = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&nested);
    environment.add_function(LIST, move |value: Value| -> Result<Value, Error> {
        let items = Mutex::new(value.try_iter()?.collect());
        Ok(Value::from_object(List { items, nested: Arc::clone(&counter) }))
    });
    environment.add_function(MAP, move |value: Value| -> Result<Value, Error> {
        let mut pairs = Vec::new();
        for key in value.try_iter()? {
            let item = value.get_item(&key)?;
            pairs.push((key, item));
        }
        Ok(Value::from_object(Map { items: Mutex::new(pairs), nested: Arc::clone(&nested) }))
    });
}

/// The template with its lists and maps made changeable, where it changes any. Lines stay what they are.
pub(super) fn rewritten(source: &str) -> Option<String> {
    if !METHODS.iter().any(|method| source.contains(&format!(".{method}("))) {
        return None;
    }
    let tree = parse(source, "model", SyntaxConfig::default()).ok()?;
    let mut found = Vec::new();
    statements(&tree, &mut found);
    // (position, whether it closes, text): what closes comes first.
    let mut marks: Vec<(usize, bool, String)> = Vec::new();
    for (start, end, function) in found {
        marks.push((start, true, format!("{function}(")));
        marks.push((end, false, ")".to_owned()));
    }
    marks.sort_by_key(|(at, opens, _)| (*at, *opens));
    let mut text = String::with_capacity(source.len() + marks.len() * 8);
    let mut at = 0;
    for (position, _, mark) in marks {
        text.push_str(source.get(at..position)?);
        text.push_str(&mark);
        at = position;
    }
    text.push_str(source.get(at..)?);
    Some(text)
}

type Found = Vec<(usize, usize, &'static str)>;

fn statements(statement: &Stmt<'_>, found: &mut Found) {
    let mut body = |list: &[Stmt<'_>]| list.iter().for_each(|s| statements(s, found));
    match statement {
        Stmt::Template(s) => body(&s.children),
        Stmt::ForLoop(s) => {
            body(&s.body);
            body(&s.else_body);
        }
        Stmt::IfCond(s) => {
            body(&s.true_body);
            body(&s.false_body);
        }
        Stmt::WithBlock(s) => body(&s.body),
        Stmt::Macro(s) => body(&s.body),
        Stmt::Set(s) => expression(&s.expr, found),
        Stmt::Do(s) => arguments(&s.call.args, found),
        _ => {}
    }
}

fn arguments(list: &[ast::CallArg<'_>], found: &mut Found) {
    for argument in list {
        if let ast::CallArg::Pos(e) | ast::CallArg::Kwarg(_, e) = argument {
            expression(e, found);
        }
    }
}

/// The lists and maps that an expression consists of.
fn expression(expr: &Expr<'_>, found: &mut Found) {
    match expr {
        Expr::List(list) => {
            let span = list.span();
            found.push((span.start_offset as usize, span.end_offset as usize, LIST));
            list.items.iter().for_each(|item| expression(item, found));
        }
        Expr::Map(map) => {
            let span = map.span();
            found.push((span.start_offset as usize, span.end_offset as usize, MAP));
            map.values.iter().for_each(|item| expression(item, found));
        }
        Expr::IfExpr(choice) => {
            expression(&choice.true_expr, found);
            choice.false_expr.iter().for_each(|e| expression(e, found));
        }
        Expr::Call(call) => arguments(&call.args, found),
        _ => {}
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fault(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

/// Whether an item may be put into the list or map at this address: not where that would close a circle.
fn admit(item: &Value, into: usize, nested: &AtomicUsize) -> Result<(), Error> {
    let mut seen = Vec::new();
    let mut open = vec![item.clone()];
    let mut changeable = false;
    while let Some(value) = open.pop() {
        let inner: Option<(usize, Vec<Value>)> = if let Some(list) = value.downcast_object::<List>() {
            Some((Arc::as_ptr(&list) as usize, list.all()))
        } else if let Some(map) = value.downcast_object::<Map>() {
            Some((Arc::as_ptr(&map) as usize, map.all().into_iter().map(|(_, value)| value).collect()))
        } else if seen.len() < MAX_LENGTH && value.kind() == minijinja::value::ValueKind::Seq {
            open.extend(value.try_iter()?);
            None
        } else {
            None
        };
        let Some((address, items)) = inner else { continue };
        changeable = true;
        if address == into {
            return Err(fault("a list or map cannot hold itself"));
        }
        if !seen.contains(&address) {
            seen.push(address);
            open.extend(items);
        }
    }
    if changeable && nested.fetch_add(1, Ordering::Relaxed) >= MAX_NESTED {
        return Err(fault("lists and maps are nested too often"));
    }
    Ok(())
}

#[derive(Debug)]
struct List {
    items: Mutex<Vec<Value>>,
    nested: Arc<AtomicUsize>,
}

impl List {
    /// What is in it now. Never compared or looked into while it is locked: an item may lead back here.
    fn all(&self) -> Vec<Value> {
        locked(&self.items).clone()
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        locked(&self.items).get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.all())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let mut items = self.all();
        let mut result = Value::from(());
        match (method, args) {
            ("append", [item]) => items.push(item.clone()),
            ("extend", [more]) => items.extend(more.try_iter()?.take(MAX_LENGTH + 1)),
            ("pop", []) => result = items.pop().ok_or_else(|| fault("pop from an empty list"))?,
            ("insert", [at, item]) => {
                let at = at.as_usize().ok_or_else(|| fault("insert needs a position"))?;
                items.insert(at.min(items.len()), item.clone());
            }
            ("remove", [item]) => {
                let at = items.iter().position(|other| other == item);
                items.remove(at.ok_or_else(|| fault("not in the list"))?);
            }
            _ => return super::dbt::method(state, &Value::from(items), method, args),
        }
        if items.len() > MAX_LENGTH {
            return Err(fault("the list is too long"));
        }
        let here = Arc::as_ptr(self) as usize;
        args.iter().try_for_each(|item| admit(item, here, &self.nested))?;
        *locked(&self.items) = items;
        Ok(result)
    }
}

#[derive(Debug)]
struct Map {
    items: Mutex<Vec<(Value, Value)>>,
    nested: Arc<AtomicUsize>,
}

impl Map {
    /// See [`List::all`].
    fn all(&self) -> Vec<(Value, Value)> {
        locked(&self.items).clone()
    }
}

impl Object for Map {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.all().into_iter().find(|(other, _)| other == key).map(|(_, value)| value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.all().into_iter().map(|(key, _)| key).collect())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let mut items = self.all();
        let mut result = Value::from(());
        match (method, args) {
            ("update", [more]) => {
                let here = Arc::as_ptr(self) as usize;
                for key in more.try_iter()?.take(MAX_LENGTH + 1) {
                    let value = more.get_item(&key)?;
                    admit(&value, here, &self.nested)?;
                    match items.iter_mut().find(|(other, _)| *other == key) {
                        Some(found) => found.1 = value,
                        None => items.push((key, value)),
                    }
                }
            }
            ("pop", [key, default @ ..]) => match items.iter().position(|(other, _)| other == key) {
                Some(at) => result = items.remove(at).1,
                None => return default.first().cloned().ok_or_else(|| fault("not in the map")),
            },
            _ => return super::dbt::method(state, &Value::from_pairs(items), method, args),
        }
        if items.len() > MAX_LENGTH {
            return Err(fault("the map is too long"));
        }
        *locked(&self.items) = items;
        Ok(result)
    }
}
