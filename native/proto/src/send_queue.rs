//! Output of one connection that waits for the socket.
//!
//! Small bytes (heads, chunk sizes, short bodies) share one vector; a large piece of a body is
//! queued as it is, at a position of that vector, so that order is kept without copying it. What is
//! sent is cut off when it is the larger part, so that a stream whose reader never quite catches up
//! takes no more memory than what waits. An empty queue holds no allocation. What a chunk is, and who may drop it, is the owner's affair.

use std::collections::VecDeque;
use std::io::IoSlice;

/// Sent bytes that are worth moving the rest to the front for.
const CUT: usize = 16 * 1024;

/// A large part of a body, sent from where it lies.
pub trait Chunk {
    /// Bytes that are still to be sent.
    fn remaining(&self) -> u64;
    /// Those bytes; `None` where the transport must fetch them itself (a file).
    fn as_slice(&self) -> Option<&[u8]>;
    /// Marks `n` bytes, at most what remains, as sent.
    fn advance(&mut self, n: u64);
}

/// Bytes and chunks in the order in which they go out.
#[derive(Debug)]
pub struct SendQueue<C: Chunk> {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are sent; never beyond the position of the first chunk.
    sent: usize,
    /// Chunks, each to be sent when `buffer` is sent up to the position beside it; none is empty.
    chunks: VecDeque<(usize, C)>,
}

impl<C: Chunk> Default for SendQueue<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Chunk> SendQueue<C> {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            sent: 0,
            chunks: VecDeque::new(),
        }
    }

    /// The tail for small bytes: append to it and do nothing else.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Queues a chunk after everything that is there. One with nothing to send is dropped.
    pub fn push(&mut self, chunk: C) {
        if chunk.remaining() > 0 {
            self.chunks.push_back((self.buffer.len(), chunk));
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent == self.buffer.len() && self.chunks.is_empty()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> u64 {
        let chunks: u64 = self.chunks.iter().map(|(_, chunk)| chunk.remaining()).sum();
        (self.buffer.len() - self.sent) as u64 + chunks
    }

    /// Fills `out` with what goes out next, up to a chunk that has no slice, and gives the number
    /// of slices.
    pub fn slices<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let mut free = out.iter_mut();
        let mut used = 0;
        let mut at = self.sent;
        for (position, chunk) in &self.chunks {
            if at < *position {
                let Some(slot) = free.next() else { return used };
                *slot = IoSlice::new(&self.buffer[at..*position]);
                used += 1;
                at = *position;
            }
            let Some(bytes) = chunk.as_slice() else {
                return used;
            };
            let Some(slot) = free.next() else { return used };
            *slot = IoSlice::new(bytes);
            used += 1;
        }
        if at < self.buffer.len()
            && let Some(slot) = free.next()
        {
            *slot = IoSlice::new(&self.buffer[at..]);
            used += 1;
        }
        used
    }

    /// The chunk at the front, if nothing goes out before it.
    pub fn front_chunk(&mut self) -> Option<&mut C> {
        match self.chunks.front_mut() {
            Some((position, chunk)) if *position == self.sent => Some(chunk),
            _ => None,
        }
    }

    /// Marks `n` bytes as sent and moves chunks that are finished into `done`, for their owner to
    /// drop when it may.
    pub fn consume(&mut self, n: usize, done: &mut Vec<C>) {
        let mut n = n;
        loop {
            let position = self
                .chunks
                .front()
                .map_or(self.buffer.len(), |(position, _)| *position);
            let small = n.min(position - self.sent);
            self.sent += small;
            n -= small;
            let Some((_, chunk)) = self.chunks.front_mut().filter(|_| self.sent == position) else {
                break;
            };
            let large = (n as u64).min(chunk.remaining());
            chunk.advance(large);
            // At most n, which is a usize.
            n -= usize::try_from(large).unwrap_or(n);
            if chunk.remaining() > 0 {
                break;
            }
            done.extend(self.chunks.pop_front().map(|(_, chunk)| chunk));
        }
        if self.is_empty() {
            self.buffer.clear();
            self.sent = 0;
        } else if self.sent >= CUT && self.sent > self.buffer.len() / 2 {
            self.buffer.drain(..self.sent);
            for (position, _) in &mut self.chunks {
                *position -= self.sent;
            }
            self.sent = 0;
        }
        self.trim();
    }

    /// Drops everything that waits.
    pub fn clear(&mut self, done: &mut Vec<C>) {
        done.extend(self.chunks.drain(..).map(|(_, chunk)| chunk));
        self.buffer.clear();
        self.sent = 0;
        self.trim();
    }

    /// Takes the memory of an empty queue, to lend it to another connection; nothing from one that
    /// has bytes to send.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        if self.is_empty() {
            std::mem::take(&mut self.buffer)
        } else {
            Vec::new()
        }
    }

    /// Lends memory to a queue that has none.
    pub fn give_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.buffer.capacity() == 0 {
            buffer.clear();
            self.buffer = buffer;
        }
    }

    /// An emptied queue of chunks is not worth its memory on an idle connection.
    fn trim(&mut self) {
        if self.chunks.is_empty() && self.chunks.capacity() > 0 {
            self.chunks = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Piece {
        bytes: Vec<u8>,
        sent: usize,
        opaque: bool,
    }

    impl Chunk for Piece {
        fn remaining(&self) -> u64 {
            (self.bytes.len() - self.sent) as u64
        }
        fn as_slice(&self) -> Option<&[u8]> {
            (!self.opaque).then(|| &self.bytes[self.sent..])
        }
        fn advance(&mut self, n: u64) {
            self.sent += usize::try_from(n).unwrap();
        }
    }

    fn piece(text: &str, opaque: bool) -> Piece {
        Piece {
            bytes: text.into(),
            sent: 0,
            opaque,
        }
    }

    /// Sends everything, `portion` bytes at most at a time and `slots` slices, as a transport does.
    fn drain(queue: &mut SendQueue<Piece>, portion: usize, slots: usize) -> (String, usize) {
        let mut sent = Vec::new();
        let mut done = Vec::new();
        while !queue.is_empty() {
            let before = queue.len();
            let mut taken = Vec::new();
            if let Some(chunk) = queue.front_chunk().filter(|chunk| chunk.opaque) {
                taken.extend(chunk.bytes[chunk.sent..].iter().take(portion));
            } else {
                let mut slices = vec![IoSlice::new(&[]); slots];
                let used = queue.slices(&mut slices);
                assert!(slices[..used].iter().all(|slice| !slice.is_empty()));
                taken.extend(
                    slices[..used]
                        .iter()
                        .flat_map(|slice| slice.iter())
                        .take(portion),
                );
            }
            assert!(
                !taken.is_empty(),
                "a queue that is not empty offers something"
            );
            sent.extend_from_slice(&taken);
            queue.consume(taken.len(), &mut done);
            assert_eq!(queue.len(), before - taken.len() as u64);
        }
        (String::from_utf8(sent).unwrap(), done.len())
    }

    #[test]
    fn everything_leaves_in_order_however_little_the_socket_takes() {
        for portion in 1..30 {
            for slots in 1..6 {
                let mut queue = SendQueue::new();
                queue.push(piece("<first>", false));
                queue.buffer().extend_from_slice(b"head ");
                queue.push(piece("<second>", false));
                queue.push(piece("<file>", true));
                queue.push(piece("", false));
                queue.buffer().extend_from_slice(b" middle ");
                queue.push(piece("<third>", false));
                queue.buffer().extend_from_slice(b" tail");
                assert_eq!(queue.len(), 7 + 5 + 8 + 6 + 8 + 7 + 5);
                let (sent, done) = drain(&mut queue, portion, slots);
                assert_eq!(sent, "<first>head <second><file> middle <third> tail");
                assert_eq!(done, 4, "each chunk that was queued is handed back");
            }
        }
    }

    #[test]
    fn a_queue_goes_on_after_a_part_was_sent() {
        let mut queue = SendQueue::new();
        let mut done = Vec::new();
        queue.buffer().extend_from_slice(b"abc");
        queue.consume(1, &mut done);
        queue.buffer().extend_from_slice(b"def");
        queue.push(piece("X", false));
        queue.consume(2, &mut done);
        queue.buffer().extend_from_slice(b"ghi");
        assert_eq!(drain(&mut queue, 100, 8).0, "defXghi");
    }

    #[test]
    fn a_stream_that_is_never_quite_sent_takes_no_more_memory() {
        let mut queue = SendQueue::new();
        let mut done = Vec::new();
        let mut expected = 0_u8;
        queue.push(piece(&"x".repeat(1000), false));
        queue.buffer().resize(30_000, 0);
        for _ in 0..2000 {
            queue.consume(500, &mut done);
            queue.buffer().extend_from_slice(&[expected; 400]);
            queue.push(piece(&"y".repeat(100), false));
            expected = expected.wrapping_add(1);
        }
        assert!(queue.buffer().capacity() < 200_000);
        // What waits is still in order: 400 of a kind, then a chunk.
        let mut rest = Vec::new();
        while !queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2];
            let used = queue.slices(&mut slices);
            rest.extend(slices[..used].iter().flat_map(|slice| slice.to_vec()));
            let count = slices[..used].iter().map(|slice| slice.len()).sum();
            queue.consume(count, &mut done);
        }
        let tail = &rest[rest.len() - 5000..];
        for (number, group) in tail.chunks(500).enumerate() {
            let value = expected.wrapping_sub(10 - u8::try_from(number).unwrap());
            assert_eq!(group, [&[value; 400][..], &[b'y'; 100]].concat());
        }
    }

    #[test]
    fn clearing_hands_the_chunks_back() {
        let mut queue = SendQueue::new();
        queue.buffer().extend_from_slice(b"abc");
        queue.push(piece("X", false));
        let mut done = Vec::new();
        queue.clear(&mut done);
        assert!(queue.is_empty());
        assert_eq!(done.len(), 1);
    }

    #[test]
    fn memory_is_lent_and_taken_back_between_responses_only() {
        let mut queue: SendQueue<Piece> = SendQueue::new();
        let mut lent = Vec::with_capacity(100);
        lent.push(1);
        queue.give_buffer(lent);
        assert!(queue.is_empty(), "what was in the memory is not sent");
        queue.buffer().push(2);
        assert_eq!(queue.take_buffer().capacity(), 0);
        queue.consume(1, &mut Vec::new());
        assert_eq!(queue.take_buffer().capacity(), 100);
    }
}
