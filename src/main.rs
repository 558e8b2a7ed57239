//! The `assay` binary: hands the arguments to the library and ends with the exit code it returns.

fn main() -> std::process::ExitCode {
    assay::cli::main().into()
}
