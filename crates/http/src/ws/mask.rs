//! Masking (RFC 6455 §5.3), a word at a time.

/// Takes the mask off in place. `key` belongs to the first byte.
pub(super) fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The key for the byte that follows `taken` bytes.
pub(super) fn rotate(mut key: [u8; 4], taken: usize) -> [u8; 4] {
    key.rotate_left(taken % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_in_any_pieces() {
        let key = [1, 20, 120, 255];
        for len in 0..40 {
            let plain: Vec<u8> = (0..len).collect();
            let masked: Vec<u8> =
                plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            for cut in 0..=masked.len() {
                let mut bytes = masked.clone();
                let (head, tail) = bytes.split_at_mut(cut);
                unmask(head, key);
                unmask(tail, rotate(key, cut));
                assert_eq!(bytes, plain, "{len} cut at {cut}");
            }
        }
    }
}
