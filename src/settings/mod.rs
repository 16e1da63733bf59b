//! The installation's settings: flags, variables, defaults.

pub mod datadir;
