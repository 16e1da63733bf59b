//! Log streams that outlive their instances. Imports `model`; events themselves are kept by `store`.

pub mod logs;

pub use logs::{
    Cursor, InUse, Line, LogError, LogStore, LogWriter, MergedLine, MergedPage, OperationGroup, Page, Position,
    Retention, Stream, StreamInfo,
};
