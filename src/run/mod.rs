//! Plan, runner, events, resume: drives the line from suite to results.
