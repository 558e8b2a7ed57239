//! One file a command.

pub mod compare;
pub mod diff;
pub mod doctor;
pub mod draft;
pub mod init;
pub mod recordings;
pub mod report;
pub mod run;
pub mod spec;
pub mod tools;
