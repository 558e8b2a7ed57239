//! Getting answers: the contract, the request, providers, the tool loop, recordings, and answers made elsewhere.

pub mod answers;
pub mod contract;
