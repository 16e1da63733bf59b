//! The data plane: listeners, routing table, balancing, connection handling. Imports `model` and `link` only.
