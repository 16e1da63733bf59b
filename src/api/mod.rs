//! The AWS JSON wire: dispatch by target, errors in one table.

pub mod control;
