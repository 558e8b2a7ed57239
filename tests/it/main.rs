//! The one integration-test binary: what the product promises, one file a subject.

mod architecture;
mod assistant;
mod attacks;
mod cli;
mod containment;
mod dbt;
mod deeper;
mod diff;
mod draft;
mod example;
mod explain;
mod fault_server;
mod generate;
mod harness;
mod idioms;
mod kills;
mod reading;
mod report;
mod rules;
mod run;
mod sql;
mod tls;
mod tool;
