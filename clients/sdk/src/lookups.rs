//! What anybody with a certificate may ask of a node: public matters of the network, and ciphertext.
//!
//! Nothing here is believed because a node says so. What can be checked against genesis is checked before it is handed
//! on; the rest says so.

use std::time::Duration;

use sealbook_ledger::{EpochDefinition, FinalityProof, KeyRecord, RootFile, holder_digest};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::client::{CertifiedBlock, NodeStatus, RequestBody, ResponseBody};
use sealbook_protocol::module::SnapshotOffer;

use crate::attempts::{Kind, Problem, Tried};
use crate::client::Client;
use crate::{ClientError, ConnectionError};

impl Client {
    /// The status of one node, named by its place in the network's list.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn status_of(&self, node: usize) -> Result<NodeStatus, ConnectionError> {
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such node");
        let node = self.network.nodes().get(node).ok_or_else(missing)?;
        let mut connection = self.connect_to(node)?;
        match connection.ask(RequestBody::Status, Duration::ZERO)? {
            ResponseBody::Status(status) => Ok(status),
            _ => Err(ConnectionError::OutOfTurn),
        }
    }

    /// Final blocks from a height on, as ciphertext; none where the ledger ends, or where a node that joined later does
    /// not have them.
    ///
    /// # Errors
    /// No node answered in time.
    pub fn blocks(&mut self, from: u64, limit: u32) -> Result<Vec<CertifiedBlock>, ClientError> {
        self.persist(|client| client.try_blocks(from, limit))
    }

    pub(crate) fn try_blocks(&mut self, from: u64, limit: u32) -> Tried<Vec<CertifiedBlock>> {
        match self.try_ask(RequestBody::Blocks { from, limit }, Duration::ZERO)? {
            ResponseBody::Blocks(blocks) => Ok(blocks),
            other => Err(Problem::unexpected(other)),
        }
    }

    /// The height of the block that ordered a transaction, as a node says.
    ///
    /// # Errors
    /// No node answered in time, or none of them knows the transaction.
    pub fn find(&mut self, transaction: Digest) -> Result<u64, ClientError> {
        self.persist(|client| {
            let found = client.try_find(transaction)?;
            found.ok_or_else(|| Problem::unexpected(ResponseBody::Absent))
        })
    }

    pub(crate) fn try_find(&mut self, transaction: Digest) -> Tried<Option<u64>> {
        match self.try_ask(RequestBody::Find { transaction }, Duration::ZERO)? {
            ResponseBody::Found { height } => Ok(Some(height)),
            ResponseBody::Absent | ResponseBody::NotYet => Ok(None),
            other => Err(Problem::unexpected(other)),
        }
    }

    /// Proof that the block at a height and the results after it are final, checked against genesis. The first header in
    /// it is that of this height. Waits until there is one.
    ///
    /// # Errors
    /// No node gave one in time.
    pub fn proof(&mut self, height: u64) -> Result<FinalityProof, ClientError> {
        self.persist(|client| {
            match client.try_ask(RequestBody::Proof { height }, Duration::ZERO)? {
                ResponseBody::Proof(bytes) => {
                    let no_proof = |why: &str| Problem::new(Kind::False, why);
                    let proof = FinalityProof::decode(&bytes)
                        .map_err(|error| no_proof(&error.to_string()))?;
                    let genesis = client.network.genesis();
                    let checked = proof.verify(genesis);
                    let _ = checked.map_err(|error| no_proof(&error.to_string()))?;
                    if proof.headers.first().map(|header| header.height) == Some(height) {
                        Ok(proof)
                    } else {
                        Err(no_proof("a node proved another height"))
                    }
                }
                ResponseBody::Absent | ResponseBody::NotYet => {
                    Err(Problem::new(Kind::Later, "there is no proof yet"))
                }
                other => Err(Problem::unexpected(other)),
            }
        })
    }

    /// What holds in the present committee epoch, as a node says.
    ///
    /// # Errors
    /// No node answered in time.
    pub fn epoch(&mut self) -> Result<EpochDefinition, ClientError> {
        self.persist(
            |client| match client.try_ask(RequestBody::Epoch, Duration::ZERO)? {
                ResponseBody::Epoch(definition) if definition.check().is_ok() => Ok(definition),
                ResponseBody::Epoch(_) => Err(Problem::new(Kind::False, "no epoch is like that")),
                other => Err(Problem::unexpected(other)),
            },
        )
    }

    /// The newest sealed snapshot, as a node offers it; `None` where no node has one yet. Whoever uses it checks it.
    ///
    /// # Errors
    /// No node answered in time.
    pub fn snapshot(&mut self) -> Result<Option<SnapshotOffer>, ClientError> {
        let offered =
            self.persist(
                |client| match client.try_ask(RequestBody::Snapshot, Duration::ZERO)? {
                    ResponseBody::Snapshot(offer) => Ok(offer),
                    other => Err(Problem::unexpected(other)),
                },
            );
        match offered {
            Ok(offer) => Ok(Some(offer)),
            Err(ClientError::Absent) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A piece of a snapshot, by the snapshot's height and the piece's place; nodes that give bytes that are not right are
    /// passed over.
    ///
    /// # Errors
    /// No node gave it in time.
    pub fn snapshot_piece(
        &mut self,
        (height, index): (u64, u32),
        is_right: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, ClientError> {
        let request = RequestBody::SnapshotPiece { height, index };
        self.persist(
            |client| match client.try_ask(request.clone(), Duration::ZERO)? {
                ResponseBody::Sealed(piece) if is_right(&piece) => Ok(piece),
                ResponseBody::Sealed(_) => Err(Problem::new(
                    Kind::False,
                    "a node gave another piece than the network agreed on",
                )),
                other => Err(Problem::unexpected(other)),
            },
        )
    }

    /// The network's roots, sealed to the module with this public key; `None` while no node has any.
    ///
    /// # Errors
    /// No node answered in time.
    pub fn root_file(&mut self, module_key: &[u8]) -> Result<Option<RootFile>, ClientError> {
        let module = holder_digest(module_key);
        let given = self.sealed_bytes(&RequestBody::Roots { module })?;
        let file = given.map(|bytes| RootFile::decode(&bytes));
        file.transpose().map_err(|_| ClientError::FalseAnswer)
    }

    /// The record in which the root of the key epoch of a committee epoch was handed out; `None` for the first one, and
    /// where no node has it.
    ///
    /// # Errors
    /// No node answered in time, or with another record.
    pub fn key_record(&mut self, digest: Digest) -> Result<Option<KeyRecord>, ClientError> {
        let given = self.sealed_bytes(&RequestBody::KeyRecord { digest })?;
        let record = given.map(|bytes| KeyRecord::decode(&bytes)).transpose();
        match record {
            Ok(Some(record)) if record.digest() != digest => Err(ClientError::FalseAnswer),
            Ok(record) => Ok(record),
            Err(_) => Err(ClientError::FalseAnswer),
        }
    }

    fn sealed_bytes(&mut self, request: &RequestBody) -> Result<Option<Vec<u8>>, ClientError> {
        let given =
            self.persist(
                |client| match client.try_ask(request.clone(), Duration::ZERO)? {
                    ResponseBody::Sealed(wrapped) => Ok(wrapped),
                    other => Err(Problem::unexpected(other)),
                },
            );
        match given {
            Ok(wrapped) => Ok(Some(wrapped)),
            Err(ClientError::Absent) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
