//! Lines on their way to a stream, which a thread writes.
//!
//! A terminal or a pipe that nobody reads never stops the event loop: what waits is bounded, and what
//! finds no room is counted and told as soon as something is read again. Knows nothing of what the
//! lines say.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait to be written: some ten thousand lines.
const ROOM: usize = 1 << 20;
/// How long the end of a server waits for its last lines.
const PATIENCE: Duration = Duration::from_secs(1);
/// Workers share a pipe, which takes so much at once as one piece (`PIPE_BUF` of POSIX, on Linux).
const PIECE: usize = 4096;
/// The same for a regular file, where no piece is torn.
const FILE_PIECE: usize = 1 << 16;
/// How long lines gather after some were written: under load, a line costs its share of one call.
const REST: Duration = Duration::from_millis(5);
/// Until a stream that takes nothing now is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// Lines on their way from the event loop to the thread that writes them.
pub struct Lines {
    pending: Mutex<Pending>,
    news: Condvar,
    /// The writer has ended.
    ended: Condvar,
    /// Writes the line that says how many are missing.
    tell: fn(u64, &mut Vec<u8>),
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    lost: u64,
    /// The writer waits for lines; else it comes by itself.
    awaited: bool,
    closed: bool,
    ended: bool,
}

impl Lines {
    /// # Errors
    /// If no thread can be started.
    pub fn to(stream: File, tell: fn(u64, &mut Vec<u8>)) -> std::io::Result<Arc<Self>> {
        let lines = Arc::new(Self {
            pending: Mutex::default(),
            news: Condvar::new(),
            ended: Condvar::new(),
            tell,
        });
        let writer = Arc::clone(&lines);
        std::thread::Builder::new()
            .name("access log".to_owned())
            .spawn(move || writer.run(stream))?;
        Ok(lines)
    }

    /// Has a line written with those of this turn.
    pub fn append(&self, line: &[u8]) {
        let mut pending = self.pending();
        if pending.bytes.len() < ROOM {
            pending.bytes.extend_from_slice(line);
        } else {
            pending.lost += 1;
        }
    }

    /// Has the lines of this turn written.
    pub fn flush(&self) {
        if std::mem::take(&mut self.pending().awaited) {
            self.news.notify_one();
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut stream: File) {
        let is_file = stream.metadata().is_ok_and(|stream| stream.is_file());
        let most = if is_file { FILE_PIECE } else { PIECE };
        let mut bytes = Vec::new();
        loop {
            let pending = self.pending();
            let (mut pending, _) = self
                .news
                .wait_timeout_while(pending, REST, |pending| !pending.closed)
                .unwrap_or_else(PoisonError::into_inner);
            pending.awaited = true;
            let mut pending = self
                .news
                .wait_while(pending, |pending| {
                    pending.bytes.is_empty() && !pending.closed
                })
                .unwrap_or_else(PoisonError::into_inner);
            pending.awaited = false;
            if pending.bytes.is_empty() {
                pending.ended = true;
                self.ended.notify_all();
                return;
            }
            bytes.clear();
            std::mem::swap(&mut bytes, &mut pending.bytes);
            let lost = std::mem::take(&mut pending.lost);
            drop(pending);
            if lost > 0 {
                (self.tell)(lost, &mut bytes);
            }
            write_all(&mut stream, &bytes, most);
        }
    }

    /// Waits until everything is written, but not for ever.
    pub fn close(&self) {
        let mut pending = self.pending();
        pending.closed = true;
        self.news.notify_one();
        // A stream that nobody reads takes its lines with it.
        let _ = self
            .ended
            .wait_timeout_while(pending, PATIENCE, |pending| !pending.ended);
    }
}

/// Writes everything, or gives up on a stream that is broken. One that does not block is tried again.
fn write_all(stream: &mut File, bytes: &[u8], most: usize) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match stream.write(&rest[..piece(rest, most)]) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// How much of some lines to write at once: whole lines, so that nobody else's come between.
fn piece(lines: &[u8], most: usize) -> usize {
    let is_end = |&byte: &u8| byte == b'\n';
    let most = &lines[..lines.len().min(most)];
    let end = most.iter().rposition(is_end);
    // A longer line may be torn.
    let end = end.or_else(|| lines.iter().position(is_end));
    end.map_or(lines.len(), |end| end + 1)
}
