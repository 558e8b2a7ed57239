//! An enforced contract, held against the types of the query: the Rust dbt converts what dbt 1.x refuses (a DOUBLE under
//! `data_type: decimal(4,1)`), and 1.x is what most projects run.

use std::path::Path;

use super::classify::{Failure, FailureClass};
use super::engine::Engine;
use super::workspace::Workspace;
use super::{BuildReport, BuildRequest, Builder};
use crate::dbt::properties::{Properties, Resource, ResourceKind};
use crate::sql::Dialect;
use crate::sql::types::Type;

impl Builder {
    /// What dbt 1.x would have said of the types of a model that the Rust dbt built.
    pub(super) async fn breach_of_contract(
        &self,
        request: &BuildRequest,
        workspace: &Workspace,
        report: &BuildReport,
    ) -> Option<Failure> {
        if !matches!(self.engines.authority.engine, Engine::V2(_)) {
            return None;
        }
        enforced(&request.yaml, &request.model_name)?;
        let sql = report.compiled_sql.as_deref()?;
        let columns = self.duckdb.columns_of_query(&workspace.database(), sql).await.ok()?;
        violation(&request.yaml, &request.model_name, &columns)
    }
}

/// The model's entry, where it has an enforced contract.
fn enforced(yaml: &str, model: &str) -> Option<Resource> {
    let (properties, _) = Properties::parse(Path::new(""), yaml);
    properties
        .resources
        .into_iter()
        .find(|resource| resource.kind == ResourceKind::Model && resource.name == model && resource.contract)
}

/// What the contract in `yaml` forbids of a query with these columns (name and type). Types that are not known, lists
/// for one, are dbt's to judge.
fn violation(yaml: &str, model: &str, columns: &[(String, String)]) -> Option<Failure> {
    let resource = enforced(yaml, model)?;
    let wrong: Vec<String> = resource
        .columns
        .iter()
        .filter_map(|column| {
            let declared = column.data_type.as_deref()?;
            let (_, built) = columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(&column.name))?;
            let types = [declared, built].map(|text| Type::parse(text, Dialect::DuckDb));
            let differ = types[0] != types[1] && !types.contains(&Type::Unknown);
            differ.then(|| format!("{} is {built}, the contract says {declared}", column.name))
        })
        .collect();
    (!wrong.is_empty()).then(|| {
        let message = format!("This model has an enforced contract that failed: {}", wrong.join("; "));
        Failure::new(FailureClass::ContractViolation, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_another_kind_are_named() {
        let yaml = |contract: &str| {
            format!(
                "models:\n  - name: m\n    config: {{contract: {{enforced: {contract}}}}}\n    columns:\n      - {{name: id, data_type: int}}\n      - {{name: pct, data_type: 'decimal(4,1)'}}\n      - {{name: tags, data_type: 'varchar[]'}}\n"
            )
        };
        let columns = |pct: &str| {
            [("ID", "INTEGER"), ("pct", pct), ("tags", "VARCHAR[]")]
                .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        };
        assert_eq!(violation(&yaml("true"), "m", &columns("DECIMAL(4,1)")), None);
        let failure = violation(&yaml("true"), "m", &columns("DOUBLE")).expect("another type");
        assert_eq!(failure.class, FailureClass::ContractViolation);
        assert!(failure.message.contains("pct is DOUBLE, the contract says decimal(4,1)"), "{failure:?}");
        assert_eq!(violation(&yaml("false"), "m", &columns("DOUBLE")), None);
        assert_eq!(violation(&yaml("true"), "other", &columns("DOUBLE")), None);
    }
}
