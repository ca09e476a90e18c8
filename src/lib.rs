//! ringfence: RADIUS authorization and accounting with credit control.

pub mod domain;
pub mod service;
