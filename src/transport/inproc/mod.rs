//! Calls within a process.
