//! `yaml`: the schema YAML parses and documents this model, with columns that exist, and nothing else.

use std::path::Path;

use crate::dbt::properties::{Properties, ResourceKind};
use crate::dbt::yaml::Node;

use super::{CheckId, CheckResult, Finding};

/// Reads the schema YAML; the result is judged by [`check`].
pub fn read(text: &str) -> (Properties, Vec<Finding>) {
    let (properties, faults) = Properties::parse(Path::new("schema.yml"), text);
    let findings = faults
        .into_iter()
        .map(|fault| {
            let line = fault.place.and_then(|place| place.line);
            let finding = Finding::new("yaml_invalid", fault.message);
            line.map_or(finding.clone(), |line| finding.at(format!("yaml:{line}")))
        })
        .collect();
    (properties, findings)
}

/// Whether it is YAML at all: what cannot be read can ask dbt for anything.
pub fn is_readable(text: &str) -> bool {
    Node::parse(text).is_ok()
}

/// Judges what was read. `columns`: the output columns of the model, where they are known.
pub fn check(
    properties: &Properties,
    faults: Vec<Finding>,
    model: &str,
    columns: Option<&[String]>,
) -> CheckResult {
    let mut findings = faults;
    if findings.is_empty() {
        for resource in &properties.resources {
            if resource.kind != ResourceKind::Model || resource.name != model {
                findings.push(
                    Finding::new(
                        "yaml_other_model",
                        format!(
                            "it describes `{}`: dbt would leave `{model}` untested, or edit what was not asked for",
                            resource.name
                        ),
                    )
                    .at(format!("yaml:{}", resource.line)),
                );
            }
        }
        match properties.model(model) {
            None => {
                findings
                    .push(Finding::new("yaml_no_entry", format!("there is no entry for model `{model}`")));
            }
            Some(entry) => {
                for column in &entry.columns {
                    let exists =
                        |columns: &[String]| columns.iter().any(|c| c.eq_ignore_ascii_case(&column.name));
                    if columns.is_some_and(|columns| !exists(columns)) {
                        findings.push(
                            Finding::new(
                                "yaml_unknown_column",
                                format!("column `{}` is described, but the model has none", column.name),
                            )
                            .at(format!("yaml:{}", column.line)),
                        );
                    }
                }
            }
        }
    }
    CheckResult::from_findings(CheckId::Yaml, findings)
}
