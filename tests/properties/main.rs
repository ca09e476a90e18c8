//! Properties of calls and money: what must hold whatever the numbers, the order and the packets.

mod credit;
mod rating;
