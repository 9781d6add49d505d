//! TLS: one configuration for each way of trusting, the handshake, and what
//! the certificate says.
//!
//! The configurations are shared by all checks that trust alike; sessions are
//! never resumed, since a check is to see the whole handshake. What a shown
//! certificate means for the check is decided in [`handshake`], once for all kinds.

mod chain_cache;
pub(crate) mod check;
mod facts;
mod handshake;
mod policy;
mod verify;

pub(crate) use handshake::handshake;
pub(crate) use policy::{Alpn, Policies, TlsClient};
