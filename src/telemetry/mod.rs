//! Log streams and events that outlive their instances. Imports `model` and `store`.
