//! The frames of a WebSocket, as bytes on their way.

/// What has come and is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Wire {
    bytes: Vec<u8>,
    /// Whether the HTTP before the first frame is over.
    open: bool,
}

/// The HTTP that opens a WebSocket, or one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// All of it, as it came.
    pub(super) bytes: Vec<u8>,
    payload: Option<Vec<u8>>,
}

impl Piece {
    /// What a text frame says.
    pub(super) fn text(&self) -> Option<String> {
        String::from_utf8(self.payload.clone()?).ok()
    }
}

impl Wire {
    /// Adds what has come, and takes what is whole.
    pub(super) fn take(&mut self, more: &[u8]) -> Vec<Piece> {
        self.bytes.extend_from_slice(more);
        let mut pieces = Vec::new();
        while let Some((length, payload)) = if self.open { frame(&self.bytes) } else { head(&self.bytes) } {
            self.open = true;
            let rest = self.bytes.split_off(length);
            pieces.push(Piece { bytes: std::mem::replace(&mut self.bytes, rest), payload });
        }
        pieces
    }
}

type Whole = (usize, Option<Vec<u8>>);

fn head(bytes: &[u8]) -> Option<Whole> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((end + 4, None))
}

/// The length of the first frame and, of a text in one piece, what it says (RFC 6455 §5.2).
fn frame(bytes: &[u8]) -> Option<Whole> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (length, mut start) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        length => (u64::from(length), 2),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        mask.copy_from_slice(bytes.get(start..start + 4)?);
        start += 4;
    }
    let end = start + usize::try_from(length).ok()?;
    let payload = bytes.get(start..end)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((end, (first == 0x81).then_some(payload)))
}

/// A text frame as a server sends it.
pub(super) fn plain(text: &str) -> Vec<u8> {
    encode(text, None)
}

/// A text frame as a client sends it.
pub(super) fn masked(text: &str) -> Vec<u8> {
    // A mask of zeros is one, too.
    encode(text, Some([0; 4]))
}

fn encode(text: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let flag = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..126), _) => bytes.push(flag | length),
        (_, Ok(length)) => {
            bytes.push(flag | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(flag | 127);
            bytes.extend((text.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    bytes.extend(text.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Wire, masked, plain};

    #[test]
    fn what_comes_in_bits_is_put_together() {
        let long = "ü".repeat(40_000);
        let texts = ["", "short", &long[..600], &long];
        for encode in [plain, masked] {
            let mut sent = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
            texts.iter().for_each(|text| sent.extend(encode(text)));
            // A ping between them is passed on as it is.
            sent.extend([0x89, 0]);
            for bit in [1, 7, sent.len()] {
                let mut wire = Wire::default();
                let pieces: Vec<_> = sent.chunks(bit).flat_map(|bytes| wire.take(bytes)).collect();
                let told: Vec<_> = pieces.iter().filter_map(super::Piece::text).collect();
                assert_eq!(told, texts);
                assert_eq!(pieces.iter().flat_map(|piece| piece.bytes.clone()).collect::<Vec<_>>(), sent);
            }
        }
    }

    #[test]
    fn a_mask_is_taken_off() {
        let mut wire = Wire::default();
        wire.take(b"\r\n\r\n");
        let pieces = wire.take(&[0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2]);
        assert_eq!(pieces[0].text().as_deref(), Some("hi"));
    }
}
