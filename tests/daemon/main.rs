//! The real binary over real sockets: what strangers, liars and racers get, and what every reply
//! carries.

#[path = "../live/mod.rs"]
mod live;

mod callers;
mod flood;
mod race;
mod refusals;
mod replies;
mod tables;
