//! The cluster's own decisions: who may join and leave, and what the leader does about it.

mod housekeeping;
mod membership;
mod offers;
mod votes;
mod world;
