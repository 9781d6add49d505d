//! Two or more hubs over real sockets.
