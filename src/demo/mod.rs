//! `ringfence demo`: the daemon on a database of its own, with sample data and gateways that play
//! calls over real RADIUS, so that a newcomer sees what it does.

mod gateways;
mod operator;
mod scenes;
mod screen;
