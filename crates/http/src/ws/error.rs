//! What a client can do against RFC 6455, and the close code that says so.

/// A violation of RFC 6455: the connection fails with [`WsError::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WsError {
    /// Clients mask every frame (§5.1).
    #[error("a frame was not masked")]
    Unmasked,
    /// No extension was negotiated that would give these bits a meaning (§5.2).
    #[error("a reserved bit was set")]
    ReservedBit,
    /// An opcode that RFC 6455 doesn't define (§5.2).
    #[error("an unknown opcode")]
    Opcode,
    /// The most significant bit of a 64-bit length must be 0, and no length is written longer than it has to be (§5.2).
    #[error("a frame length beyond 63 bits, or not in its shortest form")]
    Length,
    /// Control frames have at most 125 bytes and are not fragmented (§5.5).
    #[error("a control frame that is too long or fragmented")]
    Control,
    /// A continuation frame without a message to continue (§5.4).
    #[error("a continuation of nothing")]
    Continuation,
    /// A new message before the last one has ended (§5.4).
    #[error("a message inside another message")]
    Interleaved,
    /// A close frame with one byte, or a code that must not be sent (§7.4).
    #[error("a malformed close frame")]
    Close,
    /// Text that isn't UTF-8 (§8.1).
    #[error("text that is not UTF-8")]
    Utf8,
}

impl WsError {
    /// The code of the close frame that ends the connection (§7.4.1).
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::Utf8 => 1007,
            _ => 1002,
        }
    }
}

/// Whether an endpoint may send this close code (§7.4; 1012 to 1014 are in IANA's registry).
pub(super) fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
