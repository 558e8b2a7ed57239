//! `target/catalog.json`: columns and types as the warehouse had them when `dbt docs generate` ran.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;

use super::facts::{Relation, Types};
use super::project::Project;

#[derive(Deserialize)]
struct Catalog {
    #[serde(default)]
    nodes: BTreeMap<String, Entry>,
    #[serde(default)]
    sources: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    columns: BTreeMap<String, Column>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type", default)]
    data_type: Option<String>,
    #[serde(default)]
    index: u32,
}

/// Where the catalog of a project is.
pub fn path(project: &Project) -> PathBuf {
    let target = project.config.get("target-path").and_then(|node| node.scalar());
    project.root.join(target.unwrap_or_else(|| "target".to_owned())).join("catalog.json")
}

/// Columns of every relation in the catalog, in their order; nothing where there is no catalog.
///
/// # Errors
/// A file that cannot be read, or is no catalog.
pub fn types(project: &Project) -> io::Result<Types> {
    let text = match fs_err::read(path(project)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Types::new()),
        Err(error) => return Err(error),
    };
    let catalog: Catalog = serde_json::from_slice(&text)?;
    let entries = catalog.nodes.into_iter().chain(catalog.sources);
    let types = entries.filter_map(|(id, entry)| {
        let mut columns: Vec<Column> = entry.columns.into_values().collect();
        columns.sort_by_key(|column| column.index);
        let columns = columns.into_iter().map(|column| (column.name, column.data_type.unwrap_or_default()));
        Some((Relation::of_node(&id)?, columns.collect()))
    });
    Ok(types.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_in_the_order_of_the_table() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("dbt_project.yml"), "name: shop\n").unwrap();
        let project = Project::read(dir.path()).unwrap();
        assert_eq!(types(&project).unwrap(), Types::new());
        fs_err::create_dir(dir.path().join("target")).unwrap();
        let text = r#"{"nodes": {"model.shop.orders": {"columns": {
            "b": {"name": "b", "type": "TEXT", "index": 2}, "a": {"name": "a", "type": "INTEGER", "index": 1}}},
            "test.shop.x": {"columns": {}}},
            "sources": {"source.shop.raw.orders": {"columns": {"ID": {"name": "ID", "type": null, "index": 1}}}}}"#;
        fs_err::write(path(&project), text).unwrap();
        let column = |name: &str, data_type: &str| (name.to_owned(), data_type.to_owned());
        let expected = Types::from([
            (Relation::Ref("orders".into()), vec![column("a", "INTEGER"), column("b", "TEXT")]),
            (Relation::Source("raw".into(), "orders".into()), vec![column("ID", "")]),
        ]);
        assert_eq!(types(&project).unwrap(), expected);
        fs_err::write(path(&project), "{\"nodes\": 1}").unwrap();
        assert!(types(&project).is_err());
    }
}
