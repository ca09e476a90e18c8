//! `ringfence bridge`: the real binary beside a real Kamailio, and beside stand-ins for what a real
//! proxy cannot be made to do.

#[path = "../gateways/mod.rs"]
mod gateways;
#[path = "../live/mod.rs"]
mod live;
#[allow(dead_code)] // what it reads of other replies
#[path = "../interop/radclient.rs"]
mod radclient;

mod asker;
mod beside_kamailio;
mod beside_sippy;
mod from_daemon;
mod kamailio_faults;
mod process;
mod requests;
mod running;
