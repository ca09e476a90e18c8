//! Real calls through a real Kamailio with the configuration of `docs/gateways/kamailio`, as it is
//! there: only addresses, ports and paths are a test's own. Beside it the real daemon and the real
//! bridge; between them a tap that sees every packet, and keeps some for a while.

#[path = "../gateways/mod.rs"]
mod gateways;
#[path = "../live/mod.rs"]
mod live;
#[allow(dead_code)] // what it says of itself
#[path = "../bridge/process.rs"]
mod process;

mod by_address;
mod by_password;
mod ends;
mod forged;
mod forks;
mod house;
mod invites;
mod phones;
mod same_name;
mod servers;
mod tap;
mod wire;
