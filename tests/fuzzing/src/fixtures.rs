//! What targets hold their bytes against, and what seeds are made of: the same on every machine and in every run.

pub(crate) mod books;
pub(crate) mod network;
pub(crate) mod people;
pub(crate) mod registry;
