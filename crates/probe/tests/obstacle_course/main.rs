//! The obstacle course: servers that misbehave on purpose, and what a round of
//! a check makes of each.
//!
//! Every case states the outcome, the cause and the whole sentence, since the
//! sentence is what somebody reads at night. `ADDRESS` stands for the server's
//! address and `*` for what differs from run to run. Every case is bounded in
//! time, and floods are bounded in the bytes the server got rid of.

mod answers;
mod course;
mod http;
mod names;
mod servers;
mod tls;
