//! The installation's settings: flags, variables, defaults.
