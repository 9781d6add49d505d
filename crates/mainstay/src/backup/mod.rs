//! Backups: one file that holds all of a node.
mod archive;
mod manifest;
mod progress;
mod seal;
