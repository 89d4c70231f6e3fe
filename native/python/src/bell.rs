//! How a thread's wait for the sockets is ended by another.
//!
//! Whoever waits does not know of what is queued meanwhile. Knows nothing of what that is.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Bell {
    rope: UnixStream,
    sound: UnixStream,
    /// Somebody waits, and nobody has called.
    heard: AtomicBool,
}

impl Bell {
    /// # Errors
    /// If there are no more descriptors.
    pub fn new() -> io::Result<Self> {
        let (rope, sound) = UnixStream::pair()?;
        rope.set_nonblocking(true)?;
        sound.set_nonblocking(true)?;
        Ok(Self {
            rope,
            sound,
            heard: AtomicBool::new(false),
        })
    }

    /// What is readable when somebody rang.
    pub fn sound(&self) -> &UnixStream {
        &self.sound
    }

    pub fn ring(&self) {
        // One that is full rings already.
        let _ = (&self.rope).write(&[1]);
    }

    /// Rings if somebody waits, once for each wait.
    pub fn call(&self) {
        if self.heard.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Somebody is going to wait. To be said before the last look at what is queued: what is queued
    /// after that look calls.
    pub fn attend(&self) {
        self.heard.store(true, Ordering::SeqCst);
    }

    /// The wait is over.
    pub fn leave(&self) {
        self.heard.store(false, Ordering::SeqCst);
    }

    /// Takes back that it rang.
    pub fn silence(&self) {
        let _ = (&self.sound).read(&mut [0; 64]);
    }
}
