//! `assay init`: a commented configuration and the folders that it names.

use anyhow::Context;

use crate::cli::args::InitArgs;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::{Config, DEFAULT, FILE_NAME};
use crate::suite::spec::TEMPLATE;

/// Writes what is missing and overwrites nothing.
///
/// # Errors
/// A file that cannot be written.
pub fn run(args: &InitArgs) -> anyhow::Result<Exit> {
    let paths = Config::default().paths;
    let files = [
        (args.folder.join(FILE_NAME), DEFAULT),
        (args.folder.join(&paths.evals).join("cases.csv"), "id,spec,model,golden_sql\n"),
        (args.folder.join(&paths.prompts).join("spec.md"), TEMPLATE),
    ];
    for (path, text) in files {
        if path.exists() {
            output::talk(&format!("kept   {}", path.display()));
            continue;
        }
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder).context("failed to make a folder")?;
        }
        fs_err::write(&path, text).context("failed to write")?;
        output::talk(&format!("wrote  {}", path.display()));
    }
    output::talk("\nhint: name your dbt project under [projects] in assay.toml, then add cases");
    Ok(Exit::Fine)
}
