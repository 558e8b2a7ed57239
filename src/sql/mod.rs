//! What SQL means: reading dbt SQL, binding names, normal form, comparison, explanation and the search for rows that
//! tell two queries apart. Pure: no files, clock, network, processes or unseeded randomness.

pub mod algebra;
pub mod assume;
pub(crate) mod canon;
pub mod clock;
pub mod compare;
pub mod dialect;
pub mod explain;
pub mod facts;
pub(crate) mod functions;
pub mod jinja;
pub mod joins;
pub mod lineage;
pub mod lower;
pub mod model;
pub mod normalize;
pub mod parse;
pub mod policy;
pub mod relations;
pub mod render;
pub mod schema;
pub mod search;
pub mod types;
pub mod verdict;

pub use dialect::Dialect;
pub use schema::Schema;
pub use verdict::{Comparison, Method, Verdict};
