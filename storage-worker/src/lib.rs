//! The storage worker: takes commands from the bus, decides them, and keeps records and receipts in a store.

pub mod store;
