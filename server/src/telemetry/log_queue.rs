//! Log lines on their way to standard error. A thread writes them, so that a reader that has stopped (a full pipe, a log
//! collector that hangs) does not stop the requests too. Beyond the limit lines are dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// The bytes that wait at most.
const MOST_BYTES: usize = 1024 * 1024;
/// How long the end of the process waits until the lines are written.
const FLUSH: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    /// Answered when every line before it is written.
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    dropped_lines: AtomicU64,
}

/// Takes log lines. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LogQueue {
    sender: Sender<Message>,
    counts: Arc<Counts>,
}

impl LogQueue {
    /// Writes the lines to `target` until the queue and its clones are dropped.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(target: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&receiver, &shared, target))?;
        Ok(Self { sender, counts })
    }

    /// Waits until the lines are written, for a short time.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.sender.send(Message::Flush(done)).is_ok() {
            // After the time, the reader of the log has stopped.
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

/// Each call of `write` must pass one whole line.
impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let waiting = self.counts.waiting_bytes.fetch_add(line.len(), Ordering::Relaxed);
        let is_sent =
            waiting + line.len() <= MOST_BYTES && self.sender.send(Message::Line(line.to_vec())).is_ok();
        if !is_sent {
            self.counts.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            self.counts.dropped_lines.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(receiver: &Receiver<Message>, counts: &Counts, mut target: impl Write) {
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Line(line) => {
                // A closed standard error must not end the server.
                let _ = target.write_all(&line);
                counts.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
                let lines = counts.dropped_lines.swap(0, Ordering::Relaxed);
                if lines > 0 {
                    tracing::warn!(
                        lines,
                        "log lines were dropped because standard error did not accept them"
                    );
                }
            }
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::Receiver;

    use super::*;

    /// Accepts each line only when it is permitted to.
    struct Slow {
        permits: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.permits.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_target_that_does_not_accept_lines_delays_nobody_and_takes_little_memory() {
        let (permit, permits) = channel();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let mut queue = LogQueue::start(Slow { permits, written: Arc::clone(&written) }).unwrap();
        let line = [b'x'; 1024];
        for _ in 0..3 * 1024 {
            assert_eq!(queue.write(&line).unwrap(), line.len());
        }
        let waiting = queue.counts.waiting_bytes.load(Ordering::Relaxed);
        assert!((MOST_BYTES - line.len()..=MOST_BYTES).contains(&waiting), "{waiting}");
        assert_eq!(queue.counts.dropped_lines.load(Ordering::Relaxed), 2 * 1024);
        // It accepts lines again.
        drop(permit);
        queue.flush();
        assert_eq!(queue.counts.waiting_bytes.load(Ordering::Relaxed), 0);
        assert_eq!(queue.counts.dropped_lines.load(Ordering::Relaxed), 0);
        queue.write_all(b"more\n").unwrap();
        queue.flush();
        let written = written.lock().unwrap();
        assert_eq!(written.len(), MOST_BYTES + 5);
        assert!(written.ends_with(b"more\n"));
    }
}
