//! The exit codes, a documented part of the public interface.

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything was judged and nothing is confirmed worse.
    Fine,
    /// 1: a confirmed regression, a score below the floor, or (for `diff`) models that differ.
    Regression,
    /// 2: wrong usage or configuration; also "nothing selected".
    Usage,
    /// 3: could not be judged: too many errored, incomplete, or (for `diff`) unknown.
    Undecided,
    /// 130: interrupted; the run can be resumed.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Regression => 1,
            Self::Usage => 2,
            Self::Undecided => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
