//! The hand against receivers: real ones where there are any (Postfix with
//! Dovecot, the reference library of Standard Webhooks, Apprise, programs), and
//! servers that misbehave on purpose.

mod apprise;
mod exec;
mod misbehaving;
mod postfix;
mod postfix_server;
mod python;
mod server;
mod shapes;
mod signature;
mod smtp_misbehaving;
mod support;
