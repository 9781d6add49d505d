//! The vocabulary of Mainstay: values that cannot be built wrong.
//!
//! Every room speaks in these types, so this one knows nobody: no clock, no
//! socket, no file, no randomness. What is stored or sent has its version in
//! [`entry`]; what can grow has its bound in [`limits`].
//!
//! Reading order: [`id`], [`time`], [`check`], [`observation`], [`verdict`],
//! [`service`], [`receiver`], [`message`], [`configuration`], [`member`], [`entry`],
//! [`limits`].

pub mod check;
pub mod configuration;
pub mod cron;
pub mod entry;
pub mod id;
pub mod limits;
pub mod member;
pub mod message;
pub mod observation;
pub mod receiver;
pub mod secret;
pub mod service;
pub mod time;
pub mod verdict;
