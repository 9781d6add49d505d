//! The web room from outside: real requests over real sockets.

mod made_up;
