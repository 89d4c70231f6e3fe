//! Input of one connection that was received and not parsed yet.
//!
//! Owns the leftover of an incomplete message, nothing else: a connection whose input was parsed
//! completely holds no allocation here. Consuming moves an offset; the bytes behind it are dropped
//! when they outweigh the rest, so that each byte is moved a constant number of times. It never
//! looks at the bytes: the resumable search is the parser's.

/// Unconsumed input, in order.
#[derive(Debug, Default)]
pub struct RecvBuf {
    bytes: Vec<u8>,
    /// Bytes at the front that are consumed; equal to the length only when both are zero.
    start: usize,
}

impl RecvBuf {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn append(&mut self, input: &[u8]) {
        // Only the growth of the vector moves bytes, and then the consumed ones need not come.
        if self.start > 0 && self.bytes.len() + input.len() > self.bytes.capacity() {
            self.compact();
        }
        self.bytes.extend_from_slice(input);
    }

    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }

    /// Drops `n` bytes from the front, at most what there is.
    pub fn consume(&mut self, n: usize) {
        let left = self.len();
        if n >= left {
            *self = Self::new();
            return;
        }
        self.start += n;
        if self.start > left - n {
            self.compact();
        }
    }

    fn compact(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_comes_out_in_order_whatever_is_consumed() {
        let source: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for step in [1, 2, 3, 7, 100, 999] {
            let mut buffer = RecvBuf::new();
            let mut seen = Vec::new();
            for (turn, piece) in source.chunks(step).enumerate() {
                buffer.append(piece);
                if turn % 3 == 0 {
                    let n = buffer.len().div_ceil(2);
                    seen.extend_from_slice(&buffer.as_mut_slice()[..n]);
                    buffer.consume(n);
                }
            }
            seen.extend_from_slice(buffer.as_mut_slice());
            assert_eq!(seen, source, "step {step}");
        }
    }

    #[test]
    fn an_emptied_buffer_holds_no_allocation() {
        let mut buffer = RecvBuf::new();
        buffer.append(&[1; 5000]);
        buffer.consume(4000);
        assert_eq!(buffer.len(), 1000);
        assert!(buffer.bytes.len() <= 2000, "consumed bytes are dropped");
        buffer.consume(2000);
        assert!(buffer.is_empty());
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
