//! The rules of calls and money: pure, without clock, socket, SQL, log or chance.
//!
//! Everything that happens is a command, everything that follows a decision.

#![deny(clippy::float_arithmetic, clippy::arithmetic_side_effects)]

// What things are.
pub mod carrier;
pub mod habits;
pub mod id;
pub mod money;
pub mod nas;
pub mod number;
pub mod party;
pub mod secret;
pub mod time;

// What things cost.
pub mod destination;
pub mod rating;
pub mod tariff;

// What is written down.
pub mod book;
pub mod cdr;

// What happens.
pub mod call;
pub mod command;
pub mod decision;
pub mod invariant;
pub mod ledger;
pub mod limit;
pub mod policy;

// What is, and what follows.
pub mod control;
pub mod deadline;
pub mod engine;
pub mod error_cause;
pub mod recall;
pub mod world;

mod accounting;
mod authorize;
pub mod boot;
mod draft;
mod due;
mod operate;
mod reserve;
mod settle;
