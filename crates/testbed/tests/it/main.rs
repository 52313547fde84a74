//! The testbed itself: servers answer, doubles behave, faults happen.

mod client;

mod double;
mod faults;
mod servers;
