//! A network on this machine: its folder, how it is made, started and stopped.
//!
//! ```text
//! DIR/network.toml         name and nodes with their addresses
//! DIR/genesis              the genesis document
//! DIR/ca/                  root and issuing CAs (in production: the root offline, each issuing CA elsewhere)
//! DIR/members/NAME/        key.pem, chain.pem of each member (in production: with that member alone); journal: which
//!                          transaction an order of this member's went into
//! DIR/audit.key            the audit key (in production: with the regulator alone)
//! DIR/node-N/              a node: node.toml, its TLS key and chain, ledger/, votes/, node.log, MANIFEST when stopped
//! DIR/modules/node-N/      that node's execution module: its own key, its public key, wrapped root (in production: of a
//!                          user of its own, as docs/OPERATIONS.md says)
//! DIR/run/node-N.pid       process id of a node in the background
//! ```

mod create;
mod files;
mod join;
mod ports;
mod processes;
mod provision;

pub use create::{Creation, create};
pub use files::{NetworkFiles, NodeEntry, read_genesis, read_key};
pub use join::join;
pub use ports::free_addresses;
pub use processes::{Running, is_running, program, start_background, stop_background};
pub use provision::{
    FIRST_RECORD, decode_hex, enrolment, make_holder_key, make_module_key, make_node,
    make_private_folder, make_shared_key, module_key, module_measurement, module_statement,
    own_user, vote_key, write_for_owner_of_folder, write_node_config, write_private,
};
