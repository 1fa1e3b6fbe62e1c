//! Log lines on their way to standard error. A thread writes them, so that a reader that has stopped (a full pipe, a log
//! collector that hangs) does not stop the requests too. Lines that arrive within [`COLLECT`] share one write, so that a
//! request costs neither a system call nor a wake-up for its lines. Beyond the limit lines are dropped and counted.

use std::io::{self, Write};
use std::mem;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The bytes that wait at most.
const MOST_BYTES: usize = 1024 * 1024;
/// How long the thread waits for more lines before it writes.
const COLLECT: Duration = Duration::from_millis(5);
/// The bytes of one write: as many as an empty pipe takes.
const PIECE: usize = 64 * 1024;
/// How long the end of the process waits until the lines are written.
const FLUSH: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The bytes that the thread has taken and not yet written.
    in_writing: usize,
    dropped_lines: u64,
    /// Answered when every line before it is written.
    flushes: Vec<SyncSender<()>>,
    /// Whether the thread waits for a first line.
    is_thread_idle: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// Takes log lines. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogQueue(Arc<Shared>);

impl LogQueue {
    /// Writes the lines to `target` until the process ends.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(target: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let queue = Self(Arc::clone(&shared));
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&shared, target))?;
        Ok(queue)
    }

    /// Waits until the lines are written, for a short time.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        self.0.lock().flushes.push(done);
        self.0.changed.notify_one();
        // After the time, the reader of the log has stopped.
        let _ = written.recv_timeout(FLUSH);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines or a flush, and takes them.
    fn take(&self) -> (Vec<u8>, Vec<SyncSender<()>>) {
        let mut waiting = self.lock();
        waiting.is_thread_idle = true;
        let is_idle = |waiting: &mut Waiting| waiting.lines.is_empty() && waiting.flushes.is_empty();
        waiting = self.changed.wait_while(waiting, is_idle).unwrap_or_else(PoisonError::into_inner);
        waiting.is_thread_idle = false;
        let is_collecting = |waiting: &mut Waiting| waiting.flushes.is_empty();
        let collected = self.changed.wait_timeout_while(waiting, COLLECT, is_collecting);
        (waiting, _) = collected.unwrap_or_else(PoisonError::into_inner);
        waiting.in_writing = waiting.lines.len();
        (mem::take(&mut waiting.lines), mem::take(&mut waiting.flushes))
    }
}

/// Each call of `write` must pass one whole line.
impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        if waiting.lines.len() + waiting.in_writing + line.len() > MOST_BYTES {
            waiting.dropped_lines += 1;
            return Ok(line.len());
        }
        waiting.lines.extend_from_slice(line);
        if mem::take(&mut waiting.is_thread_idle) {
            drop(waiting);
            self.0.changed.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(shared: &Shared, mut target: impl Write) {
    loop {
        let (lines, flushes) = shared.take();
        let mut rest = &lines[..];
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(end_of_piece(rest));
            // A closed standard error must not end the server.
            let _ = target.write_all(piece);
            shared.lock().in_writing -= piece.len();
        }
        for done in flushes {
            let _ = done.send(());
        }
        let lines = mem::take(&mut shared.lock().dropped_lines);
        if lines > 0 {
            tracing::warn!(lines, "log lines were dropped because standard error did not accept them");
        }
    }
}

/// The end of the last line within [`PIECE`], so that no write ends within a line.
fn end_of_piece(lines: &[u8]) -> usize {
    if lines.len() <= PIECE {
        return lines.len();
    }
    lines[..PIECE].iter().rposition(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

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
        let mut line = [b'x'; 1024];
        line[1023] = b'\n';
        for _ in 0..3 * 1024 {
            assert_eq!(queue.write(&line).unwrap(), line.len());
        }
        {
            let waiting = queue.0.lock();
            assert_eq!(waiting.lines.len() + waiting.in_writing, MOST_BYTES);
            assert_eq!(waiting.dropped_lines, 2 * 1024);
        }
        // It accepts lines again.
        drop(permit);
        queue.flush();
        queue.flush();
        {
            let waiting = queue.0.lock();
            assert_eq!((waiting.lines.len(), waiting.in_writing, waiting.dropped_lines), (0, 0, 0));
        }
        queue.write_all(b"more\n").unwrap();
        queue.flush();
        let written = written.lock().unwrap();
        assert_eq!(written.len(), MOST_BYTES + 5);
        assert!(written.ends_with(b"more\n"));
    }
}
