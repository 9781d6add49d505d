//! The hand against receivers: real ones where there are any (Postfix with
//! Dovecot, the reference library of Standard Webhooks, Apprise, programs), and
//! servers that misbehave on purpose.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is its purpose")]

mod apprise;
mod exec;
mod mail_shape;
mod misbehaving;
mod postfix;
mod postfix_server;
mod python;
mod server;
mod shapes;
mod signature;
mod smtp_misbehaving;
mod support;
