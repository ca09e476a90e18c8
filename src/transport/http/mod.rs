//! HTTP: monitoring, API and pages.

// What is answered.
pub mod api;
pub mod metrics;
pub mod status;
