//! The time of one turn, and the response headers that depend on it.
//!
//! The clock is read once for each turn; everything that happens in the turn happens at that
//! instant. The `date` line is rendered once a second.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ferricorn_proto::{Millis, Preset};

use crate::options::Options;

pub(crate) struct Clock {
    start: Instant,
    now: Millis,
    second: u64,
    date: bool,
    preset: Preset,
}

impl Clock {
    pub(crate) fn new(options: &Options) -> Self {
        let line = |name: &[u8], value: &[u8]| [name, b": ", value, b"\r\n"].concat();
        let server = options
            .server
            .as_deref()
            .map(|value| line(b"server", value));
        let extra = options
            .headers
            .iter()
            .map(|(name, value)| line(name, value));
        let mut clock = Self {
            start: Instant::now(),
            now: 0,
            second: 0,
            date: options.date,
            preset: Preset {
                date: Vec::new(),
                server: server.unwrap_or_default(),
                extra: extra.collect::<Vec<_>>().concat(),
            },
        };
        clock.tick();
        clock
    }

    /// Reads the clocks; to be called where a turn begins to gather or to flush.
    pub(crate) fn tick(&mut self) {
        self.now = Millis::try_from(self.start.elapsed().as_millis()).unwrap_or(Millis::MAX);
        if !self.date {
            return;
        }
        let wall = SystemTime::now();
        let second = wall
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            self.preset.date.clear();
            self.preset.date.extend_from_slice(b"date: ");
            self.preset
                .date
                .extend_from_slice(httpdate::fmt_http_date(wall).as_bytes());
            self.preset.date.extend_from_slice(b"\r\n");
        }
    }

    /// Milliseconds since the reactor was made, as of this turn.
    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// The header lines that precede the application's own.
    pub(crate) fn preset(&self) -> &Preset {
        &self.preset
    }
}
