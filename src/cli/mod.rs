//! The command line: arguments in, exit code out. The only module that prints.

pub mod args;
pub mod commands;
pub mod exit;
pub mod output;
pub mod progress;

use clap::Parser;

use crate::config::Config;
use crate::diagnostic::Diagnostics;

use args::{Cli, Command};
use exit::Exit;

/// Parses the arguments, runs the command, prints what it says.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine };
        }
    };
    match dispatch(&cli) {
        Ok(exit) => exit,
        Err(error) => {
            match error.downcast_ref::<Diagnostics>() {
                Some(faults) => output::faults(faults),
                None => output::talk(&format!("error: {error:#}")),
            }
            Exit::Usage
        }
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Compare(args) => commands::compare::run(&cli.config, args),
        Command::Diff(args) => commands::diff::run(&cli.config, args),
        Command::Draft(args) => commands::draft::run(&cli.config, args),
        Command::Doctor(args) => commands::doctor::run(&cli.config, args),
        Command::Init(args) => commands::init::run(args),
        Command::Report(args) => commands::report::run(&cli.config, args),
        Command::Recordings(args) => commands::recordings::run(&cli.config, args),
        Command::Spec(args) => commands::spec::run(&cli.config, args),
        Command::Tools(args) => commands::tools::run(&cli.config, args),
        Command::Run(args) => commands::run::run(&Config::load(Some(&cli.config))?, args),
    }
}
