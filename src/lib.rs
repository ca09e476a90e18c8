//! ringfence: RADIUS authorization and accounting with credit control.

pub mod domain;

pub mod service;

pub mod transport;

pub mod check;
pub mod clock;
pub mod config;
pub mod metrics;
pub mod telemetry;
