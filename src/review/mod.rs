//! Golden review, feedback log, calibration.
