//! Lists and maps that a template changes in place, as Python's: `{% do names.append('x') %}`. minijinja's own cannot
//! change, so in a template that calls such a method every list and map that is written there is made one that can.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

/// Methods that change a list or a map.
pub(super) const METHODS: &[&str] = &["append", "extend", "update", "insert", "pop", "remove"];
/// Most members of a list or map that is changed.
const MAX_LENGTH: usize = 10_000;
/// How often a template may put one of them into another, which also bounds how deep they nest.
const MAX_NESTED: usize = 200;
/// The functions that make them; no template can name them.
pub(super) const LIST: &str = "assay_list_";
pub(super) const MAP: &str = "assay_map_";
pub(super) const OWN: &str = "assay_own_";

/// Adds the functions that the rewritten template calls.
pub(super) fn register(environment: &mut Environment<'_>) {
    let nested = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&nested);
    environment.add_function(LIST, move |value: Value| -> Result<Value, Error> {
        let items = Mutex::new(value.try_iter()?.collect());
        Ok(Value::from_object(List { items, nested: Arc::clone(&counter) }))
    });
    environment.add_function(OWN, |value: Value| -> Result<Value, Error> {
        let is_changeable =
            value.downcast_object_ref::<List>().is_some() || value.downcast_object_ref::<Map>().is_some();
        let is_known = !super::opaque::is_opaque(&value);
        match value.kind() {
            ValueKind::Seq | ValueKind::Map if !is_changeable => copy(&value),
            ValueKind::Iterable if is_known => {
                copy(&Value::from(value.try_iter()?.take(MAX_LENGTH + 1).collect::<Vec<_>>()))
            }
            _ => Ok(value),
        }
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

/// A copy of a list or map, which can be changed: Python's `copy`.
pub(super) fn copy(value: &Value) -> Result<Value, Error> {
    let nested = Arc::new(AtomicUsize::new(0));
    let items: Vec<Value> = match value.kind() {
        ValueKind::Seq | ValueKind::Map => value.try_iter()?.take(MAX_LENGTH + 1).collect(),
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    };
    if items.len() > MAX_LENGTH {
        return Err(fault("the list or map is too long"));
    }
    if value.kind() == ValueKind::Seq {
        return Ok(Value::from_object(List { items: Mutex::new(items), nested }));
    }
    let pairs: Result<Vec<_>, Error> =
        items.into_iter().map(|key| value.get_item(&key).map(|item| (key, item))).collect();
    Ok(Value::from_object(Map { items: Mutex::new(pairs?), nested }))
}

/// Whether a template calls one of [`METHODS`].
pub(super) fn is_used(source: &str) -> bool {
    METHODS.iter().any(|method| source.contains(&format!(".{method}(")))
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
        } else if seen.len() < MAX_LENGTH && value.kind() == ValueKind::Seq {
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
