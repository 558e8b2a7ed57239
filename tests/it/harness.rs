//! A temporary project folder in which the real binary is run; what a person sees is one text to compare.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a configuration, cases, a spec, a golden and a dbt project, all of them valid.
pub(crate) struct Harness {
    folder: tempfile::TempDir,
}

const SPEC: &str = "## Intent
- Business question: Which orders are there?
- Grain and time frame: one row per `order_id`; all time.

## Inputs
- Trusted sources (dbt refs only): source('raw', 'orders')
- Dimensions/measures: none.

## Outputs
- Model name and description: `stg_orders`: orders. Columns: `order_id`, `status`
- Required tests and documentation notes: `unique:order_id`

## Constraints
- Only use existing sources or refs listed above.
- Prefer incremental strategies when grain > 1M rows.
- Flag assumptions and potential data quality risks.

## Risks and review hooks
- Columns requiring PII handling: none
- Additional checks or sample queries: none
";

impl Harness {
    /// A valid folder.
    pub(crate) fn new() -> Self {
        let harness = Self { folder: tempfile::tempdir().unwrap() };
        harness
            .write("assay.toml", "[projects.shop]\npath = \"dbt/shop\"\n")
            .write(
                "evals/cases.csv",
                "id,spec,model,golden_sql\norders,specs/orders.md,stg_orders,goldens/stg_orders.sql\n",
            )
            .write("specs/orders.md", SPEC)
            .write("goldens/stg_orders.sql", "select order_id, status from {{ source('raw', 'orders') }}\n")
            .write("dbt/shop/dbt_project.yml", "name: shop\nversion: '1.0'\nprofile: shop\nmodel-paths: [models]\nseed-paths: [seeds]\n")
            .write(
                "dbt/shop/models/sources.yml",
                "version: 2\nsources:\n  - name: raw\n    schema: main\n    tables:\n      - name: orders\n        columns:\n          - name: order_id\n            data_type: integer\n          - name: status\n            data_type: varchar\n",
            )
            .write("dbt/shop/seeds/orders.csv", "order_id,status\n1,open\n2,closed\n");
        harness
    }

    /// Writes a file, replacing one that is there.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
        self
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &str) -> &Self {
        fs_err::remove_file(self.path(path)).unwrap();
        self
    }

    /// A path in the folder.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Runs the binary in the folder.
    pub(crate) fn assay(&self, arguments: &[&str]) -> Output {
        self.assay_with(arguments, &[])
    }

    /// Runs the binary in the folder with environment variables set.
    pub(crate) fn assay_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        binary(self.folder.path(), arguments, environment)
    }

    /// What a person sees: exit code, standard output, standard error; the folder's own path is cut out.
    pub(crate) fn screen(&self, arguments: &[&str]) -> String {
        self.show(&self.assay(arguments))
    }

    /// An output as a person sees it.
    pub(crate) fn show(&self, output: &Output) -> String {
        let text = format!(
            "exit: {}\n----- stdout\n{}----- stderr\n{}",
            output.status.code().map_or("signal".to_owned(), |code| code.to_string()),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        text.replace(&self.folder.path().display().to_string(), "[folder]")
    }
}

/// Runs the binary in any folder.
pub(crate) fn binary(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(folder, arguments).envs(environment.iter().copied()).output().unwrap()
}

/// The binary in any folder, not started yet.
#[expect(clippy::disallowed_methods, reason = "tests start the binary")]
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1").env_remove("CI");
    command
}
