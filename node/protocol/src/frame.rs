//! Length-prefixed frames over any byte stream, with a limit: `length u32 LE | borsh bytes`.

use std::io::{self, Read, Write};

use borsh::{BorshDeserialize, BorshSerialize};

/// The largest frame between host and module, in bytes.
pub const MODULE_FRAME_MAX: usize = 64 * 1024 * 1024;
/// The largest frame between a client and a node, in bytes.
pub const CLIENT_FRAME_MAX: usize = 16 * 1024 * 1024;

/// Why a frame could not be exchanged.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side closed the stream or the operating system failed.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// The frame is larger than the reader allows.
    #[error("frame of {size} bytes is larger than {limit}")]
    TooLarge {
        /// What was announced.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The bytes are not a message.
    #[error("frame does not decode")]
    Malformed,
}

/// The bytes of one frame.
///
/// # Errors
/// [`FrameError::TooLarge`] if the message is over `limit`.
pub fn encode<T: BorshSerialize>(message: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    borsh::to_writer(&mut bytes, message)?;
    let size = bytes.len().saturating_sub(4);
    let length = u32::try_from(size).map_err(|_| FrameError::TooLarge { size, limit })?;
    if size > limit {
        return Err(FrameError::TooLarge { size, limit });
    }
    if let Some(prefix) = bytes.get_mut(..4) {
        prefix.copy_from_slice(&length.to_le_bytes());
    }
    Ok(bytes)
}

/// Decodes the content of one frame.
///
/// # Errors
/// [`FrameError::Malformed`] if it is not exactly one message.
pub fn decode<T: BorshDeserialize>(content: &[u8]) -> Result<T, FrameError> {
    T::try_from_slice(content).map_err(|_| FrameError::Malformed)
}

/// Writes one message.
///
/// # Errors
/// As [`encode`], or the stream failed.
pub fn write<T: BorshSerialize>(
    stream: &mut impl Write,
    message: &T,
    limit: usize,
) -> Result<(), FrameError> {
    stream.write_all(&encode(message, limit)?)?;
    Ok(stream.flush()?)
}

/// Reads one message of at most `limit` bytes.
///
/// # Errors
/// The stream ended or failed, the frame is too large, or it is not a message.
pub fn read<T: BorshDeserialize>(stream: &mut impl Read, limit: usize) -> Result<T, FrameError> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let size = u32::from_le_bytes(prefix) as usize;
    if size > limit {
        return Err(FrameError::TooLarge { size, limit });
    }
    // Memory grows with what really arrives, not with what a prefix promises.
    let mut content = Vec::with_capacity(size.min(64 * 1024));
    let taken = stream
        .by_ref()
        .take(size as u64)
        .read_to_end(&mut content)?;
    if taken < size {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    decode(&content)
}
