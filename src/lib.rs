//! ringfence: RADIUS authorization and accounting with credit control.

pub mod dialect;
pub mod domain;
pub mod wire;
