//! The web room from outside: real requests over real sockets.

mod backups;
mod client;
mod contrast;
mod cut_off;
mod events;
mod heartbeats;
mod limits;
mod local_socket;
mod made_up;
mod metrics;
mod nodes;
mod operator;
mod page;
mod statuspage;
mod well_formed;
