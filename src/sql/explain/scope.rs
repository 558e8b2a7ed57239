//! Names of columns to what they stand for.

use super::term::{Kind, Term};

/// A relation that columns can be taken from.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Alias or table name, lower case.
    pub(super) alias: String,
    /// Its columns and what they are; `None` when they are not known.
    pub(super) columns: Option<Vec<(String, Term)>>,
    /// Label of the source, for columns that are not known.
    pub(super) label: String,
}

/// The relations of a FROM, inside those of the queries around it.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    pub(super) entries: Vec<Entry>,
    /// Select aliases, for clauses that may use them.
    pub(super) aliases: Vec<(String, Term)>,
    pub(super) outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    /// What a column is; a name that is not found keeps its qualifier.
    pub(super) fn resolve(&self, qualifier: Option<&str>, name: &str) -> Term {
        let name = name.to_lowercase();
        let qualifier = qualifier.map(str::to_lowercase);
        self.find(qualifier.as_deref(), &name).unwrap_or_else(|| {
            Term::leaf(
                Kind::Column,
                qualifier.map_or_else(|| name.clone(), |table| format!("{table}.{name}")),
            )
        })
    }

    fn find(&self, qualifier: Option<&str>, name: &str) -> Option<Term> {
        if let Some(qualifier) = qualifier {
            if let Some(entry) = self.entries.iter().find(|entry| entry.alias == qualifier) {
                return Some(entry.column(name).unwrap_or_else(|| entry.unknown(name)));
            }
            return self.outer.and_then(|outer| outer.find(Some(qualifier), name));
        }
        if let Some(term) = self.entries.iter().find_map(|entry| entry.column(name)) {
            return Some(term);
        }
        if let Some((_, term)) = self.aliases.iter().find(|(alias, _)| alias == name) {
            return Some(term.clone());
        }
        // A table whose columns are not known may have it; one that is known has not.
        let mut unknown = self.entries.iter().filter(|entry| entry.columns.is_none());
        match (unknown.next(), unknown.next()) {
            (Some(only), None) => Some(only.unknown(name)),
            (Some(_), Some(_)) => Some(Term::leaf(Kind::Column, name)),
            _ => self.outer.and_then(|outer| outer.find(None, name)),
        }
    }
}

impl Entry {
    fn column(&self, name: &str) -> Option<Term> {
        self.columns.as_ref()?.iter().find(|(column, _)| column == name).map(|(_, term)| term.clone())
    }

    fn unknown(&self, name: &str) -> Term {
        Term::leaf(Kind::Column, format!("{}.{name}", self.label))
    }
}
