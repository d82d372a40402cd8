//! sealbook-system
