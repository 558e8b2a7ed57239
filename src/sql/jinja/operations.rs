//! Jinja's operators, filters and functions over opaque values. What a macro gives is not known, so neither is what comes of
//! it: the result is opaque in turn and keeps the operation and its operands, so that equal texts mean equal operations. Where
//! both sides are known, everything is as Jinja has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::{MAX_RENDERED, Recorder, dbt, opaque};

/// The functions that rewritten operations call; no template can name them.
pub(super) const OPERATE: &str = "assay_operate_";
pub(super) const NEGATE: &str = "assay_negate_";
pub(super) const UNPACK: &str = "assay_unpack_";
pub(super) const UNPACK_EACH: &str = "assay_unpack_each_";

/// Filters of Jinja that fail on what is opaque.
const FILTERS: &[&str] = &[
    "int", "float", "abs", "round", "sum", "min", "max", "items", "dictsort", "sort", "reverse", "batch",
    "slice",
];

/// Adds what rewritten templates call.
pub(super) fn register(environment: &mut Environment<'_>, recorder: &Recorder) {
    // What operations give in one rendering, in bytes: evaluating one spends no fuel of the template.
    let spent = Arc::new(AtomicUsize::new(0));
    let (budget, rec) = (Arc::clone(&spent), recorder.clone());
    environment.add_function(
        OPERATE,
        move |state: &State, operator: String, left: Value, right: Value| -> Result<Value, Error> {
            let result = operate(state, &operator, &left, &right, &rec)?;
            spend(&budget, &result)?;
            Ok(result)
        },
    );
    let (budget, rec) = (spent, recorder.clone());
    environment.add_function(NEGATE, move |state: &State, value: Value| -> Result<Value, Error> {
        if opaque::is_opaque(&value) {
            return Ok(opaque::call("jinja.neg", &[value], &rec));
        }
        let result = evaluate(state, "-a", &value, &Value::UNDEFINED)?;
        spend(&budget, &result)?;
        Ok(result)
    });
    environment.add_function(UNPACK, |value: Value, names: usize| unpacked(&value, names));
    environment.add_function(UNPACK_EACH, |value: Value, names: usize| -> Result<Value, Error> {
        let items: Vec<Value> = value.try_iter()?.collect();
        if !items.iter().any(opaque::is_opaque) {
            return Ok(value);
        }
        Ok(items.iter().map(|item| unpacked(item, names)).collect())
    });
}

/// Makes the filters and functions of Jinja take opaque values, where they are the first argument.
pub(super) fn accept_opaque(environment: &mut Environment<'_>, recorder: &Recorder) {
    let plain = Arc::new(Environment::new());
    for name in FILTERS {
        let (plain, recorder) = (Arc::clone(&plain), recorder.clone());
        environment.add_filter(*name, move |value: Value, args: Rest<Value>| -> Result<Value, Error> {
            let mut all = vec![value];
            all.extend(args.iter().cloned());
            if opaque::is_opaque(&all[0]) {
                return Ok(opaque::call(&format!("jinja.{name}"), &all, &recorder));
            }
            plain.empty_state().apply_filter(name, &all)
        });
    }
    for name in ["select", "reject", "selectattr", "rejectattr"] {
        let (plain, recorder) = (Arc::clone(&plain), recorder.clone());
        environment.add_filter(name, move |value: Value, args: Rest<Value>| -> Result<Value, Error> {
            let mut all = vec![value];
            all.extend(args.iter().cloned());
            if opaque::is_opaque(&all[0]) {
                return Ok(opaque::call(&format!("jinja.{name}"), &all, &recorder));
            }
            // Nobody knows of an opaque member whether it passes: it stays.
            let mut kept: Vec<Value> = Vec::new();
            for item in all[0].try_iter()? {
                if opaque::is_opaque(&item) {
                    kept.push(item);
                    continue;
                }
                let mut one = all.clone();
                one[0] = Value::from(vec![item]);
                kept.extend(plain.empty_state().apply_filter(name, &one)?.try_iter()?);
            }
            Ok(Value::from(kept))
        });
    }
    let rec = recorder.clone();
    environment.add_function("range", move |args: Rest<Value>| -> Result<Value, Error> {
        if args.iter().any(opaque::is_opaque) {
            return Ok(opaque::call("range", &args, &rec));
        }
        let (lower, upper, step) = minijinja::value::from_args(&args)?;
        minijinja::functions::range(lower, upper, step)
    });
    for name in ["zip", "zip_strict"] {
        let rec = recorder.clone();
        environment.add_function(name, move |args: Rest<Value>| -> Result<Value, Error> {
            if args.iter().any(|arg| opaque::is_opaque(arg) || arg.is_kwargs()) {
                return Ok(opaque::call(name, &args, &rec));
            }
            let lists: Vec<Vec<Value>> =
                args.iter().map(|arg| arg.try_iter().map(Iterator::collect)).collect::<Result<_, _>>()?;
            let length = lists.iter().map(Vec::len).min().unwrap_or(0);
            if name == "zip_strict" && lists.iter().any(|list| list.len() != length) {
                return Err(Error::new(ErrorKind::InvalidOperation, "lists of different length"));
            }
            Ok((0..length).map(|i| lists.iter().map(|list| list[i].clone()).collect::<Value>()).collect())
        });
    }
}

/// Makes a filter that Jinja lacks opaque; whether it lacks it.
pub(super) fn accept_filter(environment: &mut Environment<'_>, name: &str, recorder: &Recorder) -> bool {
    let applied = environment.empty_state().apply_filter(name, &[]);
    if !matches!(applied, Err(error) if error.kind() == ErrorKind::UnknownFilter) {
        return false;
    }
    let (called, recorder) = (format!("filter.{name}"), recorder.clone());
    environment.add_filter(name.to_owned(), move |args: Rest<Value>| opaque::call(&called, &args, &recorder));
    true
}

fn unpacked(value: &Value, names: usize) -> Value {
    if !opaque::is_opaque(value) {
        return value.clone();
    }
    (0..names).map(|at| value.get_item(&Value::from(at)).unwrap_or_default()).collect()
}

fn operate(
    state: &State,
    operator: &str,
    left: &Value,
    right: &Value,
    recorder: &Recorder,
) -> Result<Value, Error> {
    if opaque::is_opaque(left) || opaque::is_opaque(right) {
        let is_text = |value: &Value| value.kind() == ValueKind::String;
        let is_list = |value: &Value| {
            !opaque::is_opaque(value) && matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
        };
        return match operator {
            // Python adds a text to nothing but a text.
            "+" if is_text(left) || is_text(right) => Ok(Value::from(dbt::text(left) + &dbt::text(right))),
            "+" if is_list(left) || is_list(right) => evaluate(state, "a + b", left, right),
            _ => {
                let name = match operator {
                    "+" => "add",
                    "-" => "sub",
                    "*" => "mul",
                    "/" => "div",
                    "//" => "floordiv",
                    "%" => "mod",
                    _ => "pow",
                };
                Ok(opaque::call(&format!("jinja.{name}"), &[left.clone(), right.clone()], recorder))
            }
        };
    }
    // Python's `'%s' % x`.
    if operator == "%" && left.kind() == ValueKind::String {
        let spread = if right.kind() == ValueKind::Seq { "*b" } else { "b" };
        return evaluate(state, &format!("a | format({spread})"), left, right);
    }
    evaluate(state, &format!("a {operator} b"), left, right)
}

fn evaluate(state: &State, expression: &str, left: &Value, right: &Value) -> Result<Value, Error> {
    state
        .env()
        .compile_expression(expression)?
        .eval(minijinja::context! { a => left.clone(), b => right.clone() })
}

fn spend(spent: &AtomicUsize, result: &Value) -> Result<(), Error> {
    let cost = 16 + result.as_str().map_or_else(|| result.len().unwrap_or(0), str::len);
    if spent.fetch_add(cost, Ordering::Relaxed) > MAX_RENDERED {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    Ok(())
}
