//! One file a command.

pub mod compare;
pub mod init;
pub mod report;
pub mod run;
