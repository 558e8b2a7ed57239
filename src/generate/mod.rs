//! Getting answers: the contract, the request, providers, the tool loop, recordings, and answers made elsewhere.
//!
//! [`Generator`] is the way in: it answers a case with a prompt version, from recordings or from a provider. Everything
//! but [`transport`] is pure or touches only files, so wires, keys and formats are tested without a network.

pub mod answers;
pub mod contract;

mod canonical;
pub mod drift;
pub mod error;
mod generator;
pub mod probe;
pub mod profile;
pub mod recordings;
pub mod request;
pub mod secrets;
pub mod tools;
pub mod transport;
pub mod wire;

pub use error::{ErrorClass, GenerateError};
pub use generator::{Generator, slot_of};
pub use recordings::Mode;
