//! Tests of this subject.
