//! The format version at the head of the state and of the view.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

const VERSION: u16 = 4;

/// `u16`, always the present version; bytes of another version do not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatVersion;

impl BorshSerialize for FormatVersion {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        VERSION.serialize(writer)
    }
}

impl BorshDeserialize for FormatVersion {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        match u16::deserialize_reader(reader)? {
            VERSION => Ok(Self),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("governance format version {other} is not known"),
            )),
        }
    }
}
