//! ringfence: RADIUS authorization and accounting with credit control, for people who run phone
//! services.
//!
//! The house, floor by floor; each may use only those below it, and a test keeps it so:
//!
//! 0. [`domain`]: what calls and money do. Pure: [`domain::engine::decide`] says what follows from a
//!    command, [`domain::world::World`] is what is.
//! 1. [`wire`]: RADIUS packets as bytes. [`dialect`]: what each make of gateway means by its
//!    attributes. [`store`]: what is on disk.
//! 2. [`service`]: one use case a file; the engine loop owns the world.
//! 3. [`transport`]: sockets, HTTP, the command line.
//!
//! The roof: [`config`], [`clock`], [`metrics`], [`telemetry`], and [`app`], which builds the rest;
//! [`bridge`] is a process of its own beside a proxy.
//!
//! The life of a call: a datagram comes to [`transport`], is verified by [`wire`], understood by a
//! [`dialect`], turned into a [`domain::command::Command`] by [`service`], decided by the engine, kept
//! by [`store`], and only then answered.

pub mod domain;

pub mod dialect;
pub mod store;
pub mod wire;

pub mod service;

pub mod transport;

pub mod app;
pub mod bridge;
pub mod check;
pub mod clock;
pub mod config;
pub mod demo;
pub mod metrics;
pub mod restore;
pub mod telemetry;
