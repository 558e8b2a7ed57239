//! What happens during a run. The runner emits these; progress display and result log only consume them.

use crate::diagnostic::Diagnostic;
use crate::score::CaseResult;
use crate::tool::progress::Progress;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Something doubtful that stops nothing.
    Warning(Diagnostic),
    /// Work that comes before judging, e.g. setting up tools or preparing a project.
    Preparing(Progress),
    /// Judging starts.
    Started {
        /// Results to come.
        total: usize,
        /// Results taken over from an earlier, interrupted run.
        resumed: usize,
    },
    /// One result is there.
    Finished(Box<CaseResult>),
    /// An interruption was asked for: what is under way is finished, nothing new is started.
    Interrupted,
}
