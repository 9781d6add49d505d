//! Backups: one file that holds all of a node.
mod archive;
mod bucket;
mod manifest;
mod name;
mod progress;
mod seal;
mod target;
