//! The command line: arguments in, exit code out. The only module that prints.

pub mod exit;

use exit::Exit;

/// Parses the arguments, runs the command, prints what it says.
pub fn main() -> Exit {
    Exit::Fine
}
