//! What the engine has to say, in the words of the socket between module and host.

use sealbook_protocol::module::FromModule;

use crate::{Engine, EngineError, Output};

impl From<&Engine> for FromModule {
    /// That a session begins with this engine.
    fn from(engine: &Engine) -> Self {
        Self::Started {
            network: engine.head().network,
            height: engine.height(),
            definition: engine.definition().clone(),
            results: engine.results(),
            revoked: engine.revoked_certificates(),
        }
    }
}

impl From<Output> for FromModule {
    fn from(output: Output) -> Self {
        match output {
            Output::Piece {
                height,
                index,
                sealed,
            } => Self::SnapshotPiece {
                height,
                index,
                sealed,
            },
            Output::Snapshot(manifest) => Self::SnapshotDone {
                manifest: manifest.encode(),
            },
            Output::Carry(envelope) => Self::Carry { envelope },
            Output::Executed(executed) => Self::Executed {
                height: executed.commitment.height,
                commitment: executed.commitment,
                next_epoch: executed.next_epoch,
                quotas: executed.quotas,
                grants: executed.grants,
                key_records: executed.key_records,
                replies: executed.replies,
                finals: executed.finals,
                unopened: executed.unopened,
                revoked: executed.revoked,
            },
        }
    }
}

impl From<EngineError> for FromModule {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Diverged {
                height,
                computed,
                committed,
            } => Self::Diverged {
                height,
                computed,
                committed,
            },
            other => Self::Refused {
                reason: other.to_string(),
            },
        }
    }
}
