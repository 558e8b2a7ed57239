//! Reports from results: JSON, HTML, JUnit, Markdown, annotations, charts, a terminal summary. Returns strings,
//! touches no file.
//!
//! [`Report`] is report.json, field by field. Every other form is made from it alone, so `report.json` is enough to
//! make them all again.

mod annotations;
pub mod chart;
mod comparison;
mod diff;
mod html;
mod junit;
mod markdown;
mod model;
mod runs;
pub mod terminal;
mod text;
pub mod words;

pub(crate) use diff::{Step, diff as diff_of_lines};
pub(crate) use markdown::escape as literal_markdown;
pub(crate) use text::visible;

pub use comparison::{ClusterMap, Comparison, Method, OutcomeMap, Verdict, compare};
pub use html::{Compared, comparisons_to_html};
pub use model::{CaseInfo, CaseRow, PromptSummary, Report, SCHEMA, Slice, SliceKind, SliceTally};
pub use runs::{Loss, RunComparison};

pub use crate::history::{PromptInfo, RunInfo};
